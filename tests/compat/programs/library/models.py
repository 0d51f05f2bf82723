"""What the Django program stores: a field of each usual type, and each kind of relation."""

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100, unique=True)
    born = models.DateField(null=True)


class Tag(models.Model):
    word = models.SlugField()


class Book(models.Model):
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag)
    title = models.TextField()
    sold = models.PositiveBigIntegerField(default=0)
    price = models.DecimalField(max_digits=20, decimal_places=4)
    printed = models.DateTimeField(null=True)
    duration = models.DurationField(null=True)
    number = models.UUIDField(null=True)
    more = models.JSONField(default=dict)
    cover = models.BinaryField(null=True)
    here = models.BooleanField(default=True)
    rating = models.FloatField(null=True)

    class Meta:
        indexes = (models.Index(fields=["price", "printed"], name="book_price"),)
        constraints = (models.CheckConstraint(condition=models.Q(price__gte=0), name="book_price_positive"),)
