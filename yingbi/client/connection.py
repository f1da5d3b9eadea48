"""The two clients: blocking and asynchronous, with the same methods over the same steps."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, Unpack

import httpx

from yingbi.canonical import JsonValue
from yingbi.client.catalogue import DatasetRecord
from yingbi.client.decisions import DryRun
from yingbi.client.evidence import Evidence
from yingbi.client.exchange import Exchange
from yingbi.client.frame import Frame
from yingbi.client.hub import Filed, Hub, Wanted
from yingbi.client.jobs import AsyncJob, Job
from yingbi.client.problems import missing_extra
from yingbi.client.query import Query, RegressionQuery, TableQuery
from yingbi.client.settings import Address, Patience, Settings
from yingbi.client.shown import table_html, table_text
from yingbi.client.statements import Draft
from yingbi.client.training import AsyncFederation, AsyncTrainingPlan, Federation, TrainingPlan
from yingbi.client.training_features import Asked
from yingbi.client.training_questions import Arguments, Training
from yingbi.client.training_status import FederationNode
from yingbi.client.training_steps import Asking, federation, federation_nodes, federations, training_questions
from yingbi.client.transports import AsyncTransport, Transport, open_options
from yingbi.client.wire import Steps
from yingbi.clock import Clock, SystemClock
from yingbi.errors import ErrorCode, InvalidRequestError
from yingbi.keys import SigningKey
from yingbi.plan.codec import parse_plan
from yingbi.plan.model import Plan, Source, TableQuestion, TrainingQuestion
from yingbi.sealing import ResultKey
from yingbi.verify import Trust

__all__ = [
    "AsyncClient",
    "Catalog",
    "Client",
    "Found",
    "aconnect",
    "connect",
    "open_async_client",
    "open_client",
]

_F = TypeVar("_F")
_PATIENCE: Final = Patience()
_CLOCK: Final = SystemClock()
_HEADINGS: Final = ("data set", "title", "owner", "openness", "grade", "version", "unit")


class Found:
    """Data sets that were found."""

    def __init__(self, records: tuple[DatasetRecord, ...]) -> None:
        self._records = records

    def __iter__(self) -> Iterator[DatasetRecord]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, place: int) -> DatasetRecord:
        return self._records[place]

    def __repr__(self) -> str:
        return table_text(_HEADINGS, self._rows())

    def _repr_html_(self) -> str:
        return table_html(_HEADINGS, self._rows())

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (
                record.name,
                record.dataset.title,
                record.dataset.owner,
                record.dataset.openness,
                record.grade,
                record.versions[-1] if record.versions else None,
                record.dataset.privacy_unit,
            )
            for record in self._records
        ]


class Catalog(Generic[_F]):
    """What there is to ask about."""

    def __init__(self, search: Callable[[str], _F]) -> None:
        self._search = search

    def search(self, words: str = "") -> _F:
        """Return the data sets whose names, titles or items have these words; all without words."""
        return self._search(words)


class Client:
    """One party's blocking client of one hub; may be shared by threads. Use it as a context manager, or close it."""

    def __init__(self, hub: Hub, transport: Transport) -> None:
        self.hub = hub
        self._transport = transport
        self.catalog: Catalog[Found] = Catalog(lambda words: Found(self.run(self.hub.search(words))))

    def run(self, steps: Steps[_F]) -> _F:
        """Take steps of `hub`, and return what they end in."""
        return self._transport.run(steps)

    def dataset(self, name: str, *, version: int | None = None) -> Frame[DryRun, Job]:
        """Return a data set as a lazy frame, at its newest version or at the one that is named."""
        return _frame(self, self.run(self.hub.dataset(name)), version)

    def sql(self, text: str) -> TableQuery[DryRun, Job]:
        """Return the query of a statement of the SQL subset; it is read here, and only its plan is ever sent."""
        plan = _parsed(text)
        return TableQuery.of_plan(self, self.run(self.hub.datasets(_names(plan.question.source))), plan)

    def plan(self, plan: Plan | dict[str, Any]) -> Query[DryRun, Job]:
        """Return the query of a plan, or of its JSON."""
        read = plan if isinstance(plan, Plan) else parse_plan(plan)
        return _query(self, self.run(self.hub.datasets(_names(read.question.source))), read)

    def dry_run(
        self,
        query: Query[Any, Any],
        *,
        agreement: str | None = None,
        purpose: str | None = None,
        intermediary: str | None = None,
    ) -> DryRun:
        """Return what would be decided about a query; nothing is recorded or run."""
        wanted = Wanted(agreement=agreement, purpose=purpose, intermediary=intermediary)
        return self.run(self.hub.dry_run(query, wanted))

    def submit(
        self,
        query: Query[Any, Any],
        *,
        agreement: str | None = None,
        purpose: str | None = None,
        certificate: str | None = None,
        expires_in: timedelta | None = None,
    ) -> Job:
        """Sign and submit a query."""
        wanted = Wanted(
            agreement=agreement,
            purpose=purpose,
            certificate=certificate,
            expires_in=expires_in,
        )
        submitted = self.run(self.hub.submit(query, wanted))
        return Job(self.hub, self._transport, submitted.status, submitted=submitted)

    def job(self, job: str) -> Job:
        """Take up a job again, from whatever process it was submitted."""
        return Job(self.hub, self._transport, self.run(self.hub.status(job)))

    def jobs(self, *, limit: int = 50) -> list[Job]:
        """Return the party's jobs."""
        return [Job(self.hub, self._transport, status) for status in self.run(self.hub.jobs(limit))]

    def training(
        self,
        recipe: str,
        *,
        members: Mapping[str, str],
        target: str,
        positive: str | int | bool,
        features: Sequence[Asked],
        parameters: Mapping[str, object] | None = None,
        rounds: int | None = None,
        quorum: int | None = None,
        min_entities: int | None = None,
        epsilon: str | float | None = None,
        delta: str | float | None = None,
        clip: str | float | None = None,
        versions: Mapping[str, int] | None = None,
        purpose: str | None = None,
        certificate: str | None = None,
        expires_in: timedelta | None = None,
    ) -> TrainingPlan:
        """Return a federation that is ready to be asked for; nothing but the catalogue is asked.

        Args:
            recipe: `logistic_regression`, `gradient_boosted_trees`, `small_network` or `woe_bins`.
            members: the data set of each agreement, at least three, each of another unit.
            target: the column that is to be explained, in all of them.
            positive: its value that counts as the event.
            features: columns; what they may hold is the catalogue's word, or a mapping's with `name`.
            parameters: of the recipe (docs/spec/recipes.md).
            rounds: how many there may be; as many as the recipe can take by default.
            quorum: how many members each round needs; all by default, and always without noise.
            min_entities: fewest entities behind anything that the model shows.
            epsilon: what each member may spend of its agreement's budget; with `delta`, in private mode only.
            delta: see `epsilon`.
            clip: norm of one record's part, where the recipe clips.
            versions: of data sets, where it is not the newest.
            purpose: for which it is asked; the client's by default.
            certificate: of the purpose, where it needs one.
            expires_in: how long the jobs may wait.

        Raises:
            InvalidRequestError: something is not as it must be; the hint says what would be.
        """
        training = Training(
            recipe=recipe,
            members=members,
            target=target,
            positive=positive,
            features=features,
            parameters=parameters or {},
            rounds=rounds,
            quorum=quorum,
            min_entities=min_entities,
            epsilon=epsilon,
            delta=delta,
            clip=clip,
            versions=versions or {},
        )
        questions = self.run(training_questions(self.hub, training))
        asking = Asking(purpose=purpose, certificate=certificate, expires_in=expires_in)
        return TrainingPlan(self.hub, self._transport, questions, asking)

    def train(self, recipe: str, **asked: Unpack[Arguments]) -> Federation:
        """Sign and submit a federation, which trains one model; arguments are those of `training`.

        Raises:
            JobRefusedError: a member's policies refuse; nothing was recorded.
        """
        return self.training(recipe, **asked).submit()

    def federation(self, name: str) -> Federation:
        """Take up a federation again, from whatever process it was submitted."""
        return Federation(self.hub, self._transport, self.run(federation(self.hub, name)))

    def federations(self, *, limit: int = 50) -> list[Federation]:
        """Return the federations that the party may know of, oldest first."""
        return [Federation(self.hub, self._transport, one) for one in self.run(federations(self.hub, limit))]

    def federation_nodes(self) -> tuple[FederationNode, ...]:
        """Return the nodes that take part in federations, and whether each is connected now."""
        return self.run(federation_nodes(self.hub))

    def file(self, noun: str, draft: Draft, *, documents: Sequence[JsonValue] = ()) -> Filed:
        """Sign a draft and hand it in under a noun: `duties`, `participants`, `agreements`."""
        statement = draft.sign([self.hub.exchange.identity.key])
        return self.run(self.hub.file((noun,), [statement], openings=draft.openings, documents=documents))

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return _described(self.hub)


class AsyncClient:
    """One party's asynchronous client of one hub; the methods of `Client`, to be awaited."""

    def __init__(self, hub: Hub, transport: AsyncTransport) -> None:
        self.hub = hub
        self._transport = transport
        self.catalog: Catalog[Awaitable[Found]] = Catalog(self._search)

    async def run(self, steps: Steps[_F]) -> _F:
        """Take steps of `hub`, and return what they end in."""
        return await self._transport.run(steps)

    async def dataset(self, name: str, *, version: int | None = None) -> Frame[Awaitable[DryRun], Awaitable[AsyncJob]]:
        """Return a data set as a lazy frame, at its newest version or at the one that is named."""
        return _frame(self, await self.run(self.hub.dataset(name)), version)

    async def sql(self, text: str) -> TableQuery[Awaitable[DryRun], Awaitable[AsyncJob]]:
        """Return the query of a statement of the SQL subset; it is read here, and only its plan is ever sent."""
        plan = _parsed(text)
        return TableQuery.of_plan(self, await self.run(self.hub.datasets(_names(plan.question.source))), plan)

    async def plan(self, plan: Plan | dict[str, Any]) -> Query[Awaitable[DryRun], Awaitable[AsyncJob]]:
        """Return the query of a plan, or of its JSON."""
        read = plan if isinstance(plan, Plan) else parse_plan(plan)
        return _query(self, await self.run(self.hub.datasets(_names(read.question.source))), read)

    async def dry_run(
        self,
        query: Query[Any, Any],
        *,
        agreement: str | None = None,
        purpose: str | None = None,
        intermediary: str | None = None,
    ) -> DryRun:
        """Return what would be decided about a query; nothing is recorded or run."""
        wanted = Wanted(agreement=agreement, purpose=purpose, intermediary=intermediary)
        return await self.run(self.hub.dry_run(query, wanted))

    async def submit(
        self,
        query: Query[Any, Any],
        *,
        agreement: str | None = None,
        purpose: str | None = None,
        certificate: str | None = None,
        expires_in: timedelta | None = None,
    ) -> AsyncJob:
        """Sign and submit a query."""
        wanted = Wanted(
            agreement=agreement,
            purpose=purpose,
            certificate=certificate,
            expires_in=expires_in,
        )
        submitted = await self.run(self.hub.submit(query, wanted))
        return AsyncJob(self.hub, self._transport, submitted.status, submitted=submitted)

    async def job(self, job: str) -> AsyncJob:
        """Take up a job again, from whatever process it was submitted."""
        return AsyncJob(self.hub, self._transport, await self.run(self.hub.status(job)))

    async def jobs(self, *, limit: int = 50) -> list[AsyncJob]:
        """Return the party's jobs."""
        return [AsyncJob(self.hub, self._transport, status) for status in await self.run(self.hub.jobs(limit))]

    async def training(
        self,
        recipe: str,
        *,
        members: Mapping[str, str],
        target: str,
        positive: str | int | bool,
        features: Sequence[Asked],
        parameters: Mapping[str, object] | None = None,
        rounds: int | None = None,
        quorum: int | None = None,
        min_entities: int | None = None,
        epsilon: str | float | None = None,
        delta: str | float | None = None,
        clip: str | float | None = None,
        versions: Mapping[str, int] | None = None,
        purpose: str | None = None,
        certificate: str | None = None,
        expires_in: timedelta | None = None,
    ) -> AsyncTrainingPlan:
        """Return a federation that is ready to be asked for; arguments and errors are those of `Client.training`."""
        training = Training(
            recipe=recipe,
            members=members,
            target=target,
            positive=positive,
            features=features,
            parameters=parameters or {},
            rounds=rounds,
            quorum=quorum,
            min_entities=min_entities,
            epsilon=epsilon,
            delta=delta,
            clip=clip,
            versions=versions or {},
        )
        questions = await self.run(training_questions(self.hub, training))
        asking = Asking(purpose=purpose, certificate=certificate, expires_in=expires_in)
        return AsyncTrainingPlan(self.hub, self._transport, questions, asking)

    async def train(self, recipe: str, **asked: Unpack[Arguments]) -> AsyncFederation:
        """Sign and submit a federation, which trains one model; arguments are those of `training`.

        Raises:
            JobRefusedError: a member's policies refuse; nothing was recorded.
        """
        return await (await self.training(recipe, **asked)).submit()

    async def federation(self, name: str) -> AsyncFederation:
        """Take up a federation again, from whatever process it was submitted."""
        return AsyncFederation(self.hub, self._transport, await self.run(federation(self.hub, name)))

    async def federations(self, *, limit: int = 50) -> list[AsyncFederation]:
        """Return the federations that the party may know of, oldest first."""
        return [AsyncFederation(self.hub, self._transport, one) for one in await self.run(federations(self.hub, limit))]

    async def federation_nodes(self) -> tuple[FederationNode, ...]:
        """Return the nodes that take part in federations, and whether each is connected now."""
        return await self.run(federation_nodes(self.hub))

    async def file(self, noun: str, draft: Draft, *, documents: Sequence[JsonValue] = ()) -> Filed:
        """Sign a draft and hand it in under a noun: `duties`, `participants`, `agreements`."""
        statement = draft.sign([self.hub.exchange.identity.key])
        return await self.run(self.hub.file((noun,), [statement], openings=draft.openings, documents=documents))

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return _described(self.hub)

    async def _search(self, words: str) -> Found:
        return Found(await self.run(self.hub.search(words)))


def connect(
    url: str,
    *,
    party: str,
    key: SigningKey | Path | str,
    on_behalf_of: str | None = None,
    result_key: ResultKey | Path | str | None = None,
    trust: Trust | Path | str | None = None,
    passphrase: bytes | None = None,
    ca: Path | str | None = None,
    proxy: str | None = None,
    trust_env: bool = False,
    agreement: str | None = None,
    purpose: str | None = None,
    patience: Patience = _PATIENCE,
    clock: Clock = _CLOCK,
) -> Client:
    """Return a client. Nothing is sent yet.

    Args:
        url: of the hub; HTTPS, unless it is a loopback address.
        party: who asks: `partner:bank-a`, or a person of it with `on_behalf_of`.
        key: signs requests and statements: a key, or its file.
        on_behalf_of: the organisation that a person acts for.
        result_key: opens results: a key, or its file.
        trust: whom to believe about the log; without it nothing can be verified, and no result is opened.
        passphrase: of both key files, where they have one.
        ca: PEM file of the only certificate authorities to trust; the system's by default.
        proxy: URL of an HTTP proxy.
        trust_env: take proxies and certificates from the environment.
        agreement: under which questions are asked where they name none.
        purpose: for which questions are asked where they name none.
        patience: timeouts and retries.
        clock: tells when a request is signed.

    Raises:
        InvalidRequestError: a file cannot be read, or a setting is wrong.
        RefusedError: others can read a key file, or the network would be crossed without TLS.
    """
    settings = Settings(
        url=url,
        party=party,
        key=key,
        on_behalf_of=on_behalf_of,
        result_key=result_key,
        trust=trust,
        passphrase=passphrase,
        ca=ca,
        proxy=proxy,
        trust_env=trust_env,
        agreement=agreement,
        purpose=purpose,
        patience=patience,
        clock=clock,
    )
    return open_client(settings)


def aconnect(
    url: str,
    *,
    party: str,
    key: SigningKey | Path | str,
    on_behalf_of: str | None = None,
    result_key: ResultKey | Path | str | None = None,
    trust: Trust | Path | str | None = None,
    passphrase: bytes | None = None,
    ca: Path | str | None = None,
    proxy: str | None = None,
    trust_env: bool = False,
    agreement: str | None = None,
    purpose: str | None = None,
    patience: Patience = _PATIENCE,
    clock: Clock = _CLOCK,
) -> AsyncClient:
    """Return an asynchronous client. Nothing is sent yet; arguments and errors are those of `connect`."""
    settings = Settings(
        url=url,
        party=party,
        key=key,
        on_behalf_of=on_behalf_of,
        result_key=result_key,
        trust=trust,
        passphrase=passphrase,
        ca=ca,
        proxy=proxy,
        trust_env=trust_env,
        agreement=agreement,
        purpose=purpose,
        patience=patience,
        clock=clock,
    )
    return open_async_client(settings)


def open_client(settings: Settings, network: httpx.BaseTransport | None = None) -> Client:
    """Return a client of these settings, over the network or over what stands in for it."""
    options = open_options(ca=settings.ca, proxy=settings.proxy, trust_env=settings.trust_env)
    return Client(_hub(settings), Transport(httpx.Client(**options, transport=network)))


def open_async_client(settings: Settings, network: httpx.AsyncBaseTransport | None = None) -> AsyncClient:
    """Return an asynchronous client of these settings, over the network or over what stands in for it."""
    options = open_options(ca=settings.ca, proxy=settings.proxy, trust_env=settings.trust_env)
    return AsyncClient(_hub(settings), AsyncTransport(httpx.AsyncClient(**options, transport=network)))


def _hub(settings: Settings) -> Hub:
    exchange = Exchange(
        address=Address(settings.url), identity=settings.identity, patience=settings.patience, clock=settings.clock
    )
    return Hub(
        exchange,
        Evidence(exchange, settings.read_trust()),
        result_key=settings.read_result_key(),
        usual=Wanted(agreement=settings.agreement, purpose=settings.purpose),
    )


def _frame(session: Any, record: DatasetRecord, version: int | None) -> Frame[Any, Any]:
    source = Source(dataset=record.name, version=record.current if version is None else version)
    # An empty filter binds: a version that does not exist fails here.
    return Frame(records=(record,), source=source, session=session).filter()


def _query(session: Any, records: tuple[DatasetRecord, ...], plan: Plan) -> Query[Any, Any]:
    question = plan.question
    if isinstance(question, TableQuestion):
        return TableQuery.of_plan(session, records, plan)
    if isinstance(question, TrainingQuestion):
        raise InvalidRequestError(
            ErrorCode.PLAN_MALFORMED, "expected a question to one node, got a federation's", hint=".training(...)"
        )
    return RegressionQuery.of(
        session,
        records,
        source=question.source,
        where=question.where,
        family=question.family,
        target=question.target,
        features=question.features,
    )


def _names(source: Source) -> list[str]:
    return [source.dataset, *(join.dataset for join in source.joins)]


def _parsed(text: str) -> Plan:
    try:
        from sandbox.query.sql import parse_sql
    except ImportError as error:
        raise missing_extra("sqlglot", error) from error
    return parse_sql(text)


def _described(hub: Hub) -> str:
    identity = hub.exchange.identity
    return f"<yingbi client of {identity.organisation} at {hub.exchange.address.base}>"
