"""Django with models and migrations, over mysqlclient.  python django_library.py [increments CLIENT]"""

import datetime
import sys
import uuid
from decimal import Decimal
from importlib.metadata import version as installed
from typing import Any

import django
import told
from django.conf import settings
from told import check, none, same

DATABASE = {
    "ENGINE": "django.db.backends.mysql",
    "NAME": told.SCHEMA,
    "USER": told.USER[0],
    "PASSWORD": told.USER[1],
    "HOST": told.HOST,
    "PORT": told.PORT,
    "OPTIONS": {"charset": "utf8mb4", "ssl_mode": "DISABLED"},
}
SHA2 = DATABASE | {"USER": told.SHA2[0], "PASSWORD": told.SHA2[1]}

settings.configure(
    DATABASES={"default": DATABASE, "sha2": SHA2},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "library"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, OperationalError, connection, connections, transaction  # noqa: E402
from django.db.models import Avg, Count, F, Q, Sum  # noqa: E402
from library.models import Author, Book, Tag  # noqa: E402


def ask(sql: str, alias: str = "default") -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def migrations() -> Any:
    seen = []
    for target in ("0002", "0001", "zero", "0002"):
        call_command("migrate", "library", target, verbosity=0)
        tables = [table for table in connection.introspection.table_names() if table.startswith("library_")]
        seen.append(sorted(tables))
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "library_book")
    return seen, sorted(constraints), call_command("migrate", check_unapplied=True, verbosity=0)


def models() -> Any:
    seen: list[Any] = []
    Author.objects.all().delete()
    tags = [Tag.objects.create(word=f"tag-{n}") for n in range(3)]
    for n in range(4):
        author = Author.objects.create(name=f"author {n} 🐬", born=datetime.date(1900 + n, 1, 1))
        for each in range(3):
            book = author.books.create(
                title=told.TEXT, sold=2**63 - 1, price=Decimal("1.2345") * each, number=uuid.UUID(int=n * 10 + each),
                printed=datetime.datetime(2024, 2, 29, 12, 0, 0, each, datetime.UTC), more={"n": [n, None, "🐬"]},
                duration=datetime.timedelta(days=each, microseconds=1), cover=bytes(range(256)), rating=1.5,
            )  # fmt: skip
            book.tags.set(tags[:each])
    for book in Book.objects.select_related("author").prefetch_related("tags").order_by("number"):
        words = sorted(tag.word for tag in book.tags.all())
        seen.append((book.author.name, book.title, book.sold, book.price, book.printed, book.number, book.more,
                     book.duration, bytes(book.cover), book.here, book.rating, words))  # fmt: skip
    seen.append(Book.objects.filter(Q(more__n__0=1) | Q(title__contains="🐬", price__gt=2)).count())
    seen.append(sorted(Author.objects.annotate(n=Count("books"), s=Sum("books__price")).values_list("n", "s")))
    seen.append(Book.objects.aggregate(Avg("price"), Sum("rating")))
    seen.append(Book.objects.filter(price=0).update(sold=F("sold") - 1, rating=None))
    Author.objects.bulk_create([Author(name=f"bulk {n}") for n in range(300)], batch_size=100)
    seen.append(Author.objects.filter(name__startswith="bulk").count())
    seen.append(Author.objects.update_or_create(name="bulk 1", defaults={"born": datetime.date(2000, 1, 1)})[1])
    seen.append(Author.objects.filter(name__startswith="bulk").delete()[0])
    try:
        with transaction.atomic():
            Author.objects.create(name="author 1 🐬")
    except IntegrityError as error:
        seen.append(error.args[0])
    try:
        with transaction.atomic():
            Book.objects.filter(price=0).update(price=-1)
    except (IntegrityError, OperationalError) as error:
        seen.append(error.args[0])
    seen.append(len(list(Book.objects.iterator(chunk_size=2))))
    seen.append(User.objects.create_user("someone", password="secret").check_password("secret"))
    User.objects.all().delete()
    return seen


def transactions() -> Any:
    with transaction.atomic():
        Tag.objects.create(word="kept")
        try:
            with transaction.atomic():
                Tag.objects.create(word="undone")
                raise LookupError
        except LookupError:
            pass
        locked = Tag.objects.select_for_update().filter(word="kept").count()
    words = list(Tag.objects.filter(word__in=["kept", "undone"]).values_list("word", flat=True))
    Tag.objects.all().delete()
    return locked, same(words, ["kept"])


def checks() -> None:
    told.version(f"Django {installed('Django')}")
    check("login_native", lambda: ask("SELECT DATABASE()"))
    check("login_sha2", lambda: ask("SELECT DATABASE()", "sha2"))
    check("migrations", migrations)
    check("models", models)
    check("transactions", transactions)
    none("the driver's business", "pool")


def increments(client: str) -> None:
    for number in range(told.INCREMENTS):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE counter SET value = value + 1 WHERE id = 1")
            cursor.execute("INSERT INTO entry (client, number) VALUES (%s, %s)", (client, number))


if len(sys.argv) > 1:
    increments(sys.argv[2])
else:
    checks()
