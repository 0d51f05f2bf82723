"""Books and tags, and what authors are now."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("library", "0001_initial"),)
    operations = (
        migrations.AlterField("Author", "name", models.CharField(max_length=100, unique=True)),
        migrations.AddField("Author", "born", models.DateField(null=True)),
        migrations.CreateModel("Tag", [
            ("id", models.BigAutoField(primary_key=True)),
            ("word", models.SlugField()),
        ]),
        migrations.CreateModel("Book", [
            ("id", models.BigAutoField(primary_key=True)),
            ("author", models.ForeignKey("library.Author", models.CASCADE, related_name="books")),
            ("tags", models.ManyToManyField("library.Tag")),
            ("title", models.TextField()),
            ("sold", models.PositiveBigIntegerField(default=0)),
            ("price", models.DecimalField(max_digits=20, decimal_places=4)),
            ("printed", models.DateTimeField(null=True)),
            ("duration", models.DurationField(null=True)),
            ("number", models.UUIDField(null=True)),
            ("more", models.JSONField(default=dict)),
            ("cover", models.BinaryField(null=True)),
            ("here", models.BooleanField(default=True)),
            ("rating", models.FloatField(null=True)),
        ]),
        migrations.AddIndex("Book", models.Index(fields=["price", "printed"], name="book_price")),
        migrations.AddConstraint(
            "Book", models.CheckConstraint(condition=models.Q(price__gte=0), name="book_price_positive")
        ),
        migrations.RunPython(lambda apps, editor: apps.get_model("library", "Tag").objects.create(word="new"),
                             migrations.RunPython.noop),
    )  # fmt: skip
