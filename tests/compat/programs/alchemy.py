"""SQLAlchemy: its objects and its core, over PyMySQL, mysqlclient, mysql-connector-python and asyncmy.

python alchemy.py [increments CLIENT]
"""

import datetime
import sys
from decimal import Decimal
from importlib.metadata import version as installed
from typing import Any

import told
from sqlalchemy import JSON, ForeignKey, String, create_engine, func, inspect, select, text, update
from sqlalchemy.dialects.mysql import BIGINT, DATETIME, LONGTEXT
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload
from told import check, none, same

DRIVERS = ("pymysql", "mysqldb", "mysqlconnector")


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "alchemy_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "alchemy_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("alchemy_author.id"))
    title: Mapped[str] = mapped_column(LONGTEXT)
    sold: Mapped[int] = mapped_column(BIGINT(unsigned=True), default=0)
    price: Mapped[Decimal]
    printed: Mapped[datetime.datetime | None] = mapped_column(DATETIME(fsp=6))
    more: Mapped[Any] = mapped_column(JSON)
    author: Mapped[Author] = relationship(back_populates="books")


def engine(driver: str = "pymysql", user: tuple[str, str] = told.USER, **options: Any) -> Engine:
    query = {"charset": "utf8mb4"}
    url = URL.create(f"mysql+{driver}", *user, told.HOST, told.PORT, told.SCHEMA, query)
    if driver == "mysqlconnector":
        options["connect_args"] = {"use_pure": True, "ssl_disabled": True}
    return create_engine(url, **options)


def models(driver: str) -> Any:
    made = engine(driver, pool_size=3, pool_pre_ping=True)
    Base.metadata.drop_all(made)
    Base.metadata.create_all(made)
    seen: list[Any] = [sorted(column["name"] for column in inspect(made).get_columns("alchemy_book"))]
    with Session(made) as session:
        for number in range(5):
            books = [
                Book(title=told.TEXT * each, sold=2**64 - 1, price=Decimal(each), more={"n": [each, None, "🐬"]},
                     printed=datetime.datetime(2024, 2, 29, 12, 0, each, each))
                for each in range(1, 4)
            ]  # fmt: skip
            session.add(Author(name=f"author {number}", books=books))
        session.commit()
    with Session(made) as session:
        authors = session.scalars(select(Author).options(selectinload(Author.books)).order_by(Author.name)).all()
        seen += [
            (author.name, [(b.title, b.sold, b.price, b.printed, b.more) for b in author.books]) for author in authors
        ]
        session.add(Author(name="author 1"))
        try:
            session.commit()
        except IntegrityError as error:
            seen.append(error.orig.args[0] if error.orig else None)
            session.rollback()
        with session.begin_nested():
            session.execute(update(Book).where(Book.price == 1).values(sold=Book.sold - 1))
        session.delete(session.scalars(select(Author).where(Author.name == "author 2").with_for_update()).one())
        session.commit()
        seen.append(
            session.execute(select(func.count(), func.sum(Book.sold), func.avg(Book.price)).select_from(Book)).one()
        )
        again = mysql_insert(Author).values(name="author 3")
        session.execute(again.on_duplicate_key_update(name="author 3 again"))
        session.commit()
        session.bulk_insert_mappings(Author.__mapper__, [{"name": f"bulk {n}"} for n in range(200)])
        session.commit()
        seen.append(session.scalar(select(func.count()).select_from(Author)))
        names = session.execute(select(Author.name).order_by(Author.name), execution_options={"yield_per": 10})
        seen.append([name for (name,) in names][:8])
        seen.append(session.execute(text("SELECT :a, :b"), {"a": told.TEXT, "b": None}).all()[0][:])
    Base.metadata.drop_all(made)
    made.dispose()
    return tuple(seen)


def isolation() -> Any:
    made = engine()
    seen = []
    for level in ("READ COMMITTED", "SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT"):
        with made.connect().execution_options(isolation_level=level) as connection:
            seen.append(connection.scalar(text("SELECT COUNT(*) FROM numbers")))
            seen.append(connection.get_isolation_level())
    with made.connect() as connection:
        seen.append(connection.get_isolation_level())
    made.dispose()
    return tuple(seen)


def pool() -> Any:
    made = engine(pool_size=2, max_overflow=1, pool_reset_on_return="rollback")
    seen = []
    for turn in range(6):
        connections = [made.connect() for _ in range(3)]
        seen += [
            connection.scalar(text("SELECT n FROM numbers WHERE n = :n"), {"n": turn + 1}) for connection in connections
        ]
        for connection in connections:
            connection.close()
    made.dispose()
    return tuple(seen)


def reconnects() -> Any:
    made = engine(pool_pre_ping=True, pool_size=1)
    with made.connect() as connection, engine().connect() as killer:
        raw: Any = connection.connection.dbapi_connection
        killer.execute(text(f"KILL {raw.thread_id()}"))
    with made.connect() as connection:
        return same(connection.scalar(text("SELECT 1")), 1)


def lock_wait() -> Any:
    lock = text("SELECT value FROM counter WHERE id = 2 FOR UPDATE")
    with engine().connect() as one, engine().connect() as other:
        one.execute(lock)
        other.execute(text("SET innodb_lock_wait_timeout = 1"))
        try:
            other.execute(lock)
        except OperationalError as error:
            return same(error.orig.args[0] if error.orig else None, 1205)
    raise AssertionError("no error")


def checks() -> None:
    told.version(f"SQLAlchemy {installed('SQLAlchemy')}")
    check("login_native", lambda: engine().connect().scalar(text("SELECT DATABASE()")))
    check("login_sha2", lambda: engine(user=told.SHA2).connect().scalar(text("SELECT DATABASE()")))
    check("lock_wait", lock_wait)
    check("transactions", isolation)
    check("kill_connection", reconnects)
    check("pool", pool)
    check("models", lambda: tuple(models(driver) for driver in DRIVERS))
    none("a package of its own has them", "migrations")


def increments(client: str) -> None:
    with engine().connect() as connection:
        for number in range(told.INCREMENTS):
            with connection.begin():
                connection.execute(text("UPDATE counter SET value = value + 1 WHERE id = 1"))
                given = {"client": client, "number": number}
                connection.execute(text("INSERT INTO entry (client, number) VALUES (:client, :number)"), given)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        increments(sys.argv[2])
    else:
        checks()
