"""FastAPI with SQLAlchemy on asyncpg: fill the database, then serve by uvicorn."""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import JSON, DateTime, ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KEY = "of-a-benchmark-and-nothing-else-but-long"
_CRON = re.compile(r"(\S+ ){4}\S+")
engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:"), pool_size=16
)
opened = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


def _now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Base class of the tables."""


class User(Base):
    """A user."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    is_active: Mapped[bool] = mapped_column(default=True)


class Schedule(Base):
    """A task with a cron expression."""

    __tablename__ = "schedules"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    task: Mapped[str]
    cron_expression: Mapped[str]
    time_zone: Mapped[str] = mapped_column(default="UTC")
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    is_active: Mapped[bool] = mapped_column(default=True)
    next_run_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=_now)


class NewSchedule(BaseModel):
    """Fields of a new schedule."""

    name: str = Field(max_length=255)
    task: str = Field(max_length=255)
    cron_expression: str
    time_zone: str = Field(default="UTC", max_length=64)
    parameters: dict[str, Any] = {}
    is_active: bool = True

    @field_validator("cron_expression")
    @classmethod
    def five_fields(cls, value: str) -> str:
        """Refuse an expression without five fields."""
        if not _CRON.fullmatch(value):
            raise ValueError("Five fields are needed.")
        return value


class ScheduleOut(NewSchedule):
    """A schedule in JSON."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    next_run_time: datetime | None
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    """A page of 20 schedules."""

    count: int
    next: str | None
    previous: str | None
    results: list[ScheduleOut]


async def session() -> Any:
    """Yield a database session for a request."""
    async with opened() as own:
        yield own


Db = Annotated[AsyncSession, Depends(session)]


async def somebody(
    db: Db, sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]
) -> User:
    """Return the caller by token and row, as in the FastAPI guide."""
    try:
        claims = jwt.decode(sent.credentials, KEY, algorithms=["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    user = await db.get(User, int(claims["sub"]))
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


Caller = Annotated[User, Depends(somebody)]


@app.get("/ping")
async def ping() -> dict[str, str]:
    """Return a fixed response."""
    return {"status": "ok"}


@app.get("/schedules/")
async def list_schedules(db: Db, caller: Caller, page: int = 1) -> Page:
    """Return 20 schedules of the caller, newest first."""
    own = Schedule.owner_id == caller.id
    count = await db.scalar(select(func.count()).select_from(Schedule).where(own)) or 0
    part = select(Schedule).where(own).order_by(Schedule.created_at.desc())
    found = await db.scalars(part.offset((page - 1) * 20).limit(20))
    results = [ScheduleOut.model_validate(one) for one in found]
    following = f"/schedules/?page={page + 1}" if page * 20 < count else None
    return Page(count=count, next=following, previous=None, results=results)


@app.post("/schedules/", status_code=201)
async def create(db: Db, caller: Caller, new: NewSchedule) -> ScheduleOut:
    """Create a schedule of the caller."""
    at = _now() + timedelta(hours=1)
    schedule = Schedule(owner_id=caller.id, next_run_time=at, **new.model_dump())
    db.add(schedule)
    await db.commit()
    return ScheduleOut.model_validate(schedule)


async def _fill() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with opened() as db:
        user = User(username="someone")
        db.add(user)
        await db.flush()
        rows = {"owner_id": user.id, "task": "noop", "cron_expression": "0 9 * * 1-5"}
        db.add_all(Schedule(name=f"schedule {n}", next_run_time=_now(), **rows) for n in range(200))
        await db.commit()
    await engine.dispose()


if __name__ == "__main__":
    if sys.argv[1] == "token":
        print(jwt.encode({"sub": "1", "exp": _now() + timedelta(hours=1)}, KEY, "HS256"))
    else:
        asyncio.run(_fill())
        uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
