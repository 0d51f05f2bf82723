"""Authors alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel("Author", [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=50)),
        ]),
        migrations.RunSQL("INSERT INTO library_author (name) VALUES ('first')", "DELETE FROM library_author"),
    )  # fmt: skip
