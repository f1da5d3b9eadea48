"""The hub's composition root: from its folder to all its parts, opened and closed together."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from api.bureau import Bureau
from api.catalogue import HubCatalogue
from api.deciding import Decider
from api.documents import Documents
from api.drafts import Drafts
from api.federating import Federating, FederationWay
from api.federation_groups import FederationGroups
from api.federation_store import FederationStore
from api.home import HubHome
from api.idempotency import Answers
from api.leasing import Leasing
from api.metrics import Metrics
from api.nonces import Nonces
from api.recording import PinnedClock, Recorder
from api.results import Results
from api.settings import Settings
from api.signing import Authenticator
from api.turnstile import Turnstile
from api.upkeep import Upkeep
from api.webhooks import Deliveries, Webhooks, is_public
from federated.rounds.coordinator import RoundLimits
from federated.rounds.course import check_recipe
from ledger.cosigning import CosignatureSource
from ledger.home import LogHome
from ledger.note import NoteVerifier
from ledger.reader import LogReader
from ledger.store_sql import SqlStore
from policies.model import Agreement
from policies.standing import Standing
from sandbox.query.recipes import refuse_recipes
from yingbi.clock import Clock

__all__ = ["Address", "Hub", "open_hub"]


class Address:
    """The public address of a hub, known at the latest when it listens."""

    def __init__(self, configured: str | None) -> None:
        self._text = configured
        self.is_configured = configured is not None

    def __call__(self) -> str:
        """Return the address; before it is known no request can be meant for it."""
        return self._text or "https://invalid"

    def announce(self, url: str) -> None:
        """Take the address that the hub listens on, where none was configured."""
        if not self.is_configured:
            self._text = url


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """An open hub: everything that its routers use."""

    settings: Settings
    clock: Clock
    address: Address
    store: SqlStore
    log_reader: LogReader
    log_verifiers: tuple[NoteVerifier, ...]
    recorder: Recorder
    bureau: Bureau
    authenticator: Authenticator
    answers: Answers
    documents: Documents
    drafts: Drafts
    catalogue: HubCatalogue
    decider: Decider
    leasing: Leasing
    results: Results
    webhooks: Webhooks
    deliveries: Deliveries
    upkeep: Upkeep
    turnstile: Turnstile
    metrics: Metrics
    federation_groups: FederationGroups
    federation_store: FederationStore
    federation_way: FederationWay | None

    @property
    def standing(self) -> Standing:
        """Return what stands now; never changed, so one answer sees one state."""
        return self.recorder.standing


@contextmanager
def open_hub(
    home: HubHome,
    clock: Clock,
    *,
    cosignatures: CosignatureSource | None = None,
    passphrase: bytes | None = None,
    may_reach: Callable[[str], bool] = is_public,
    federation: FederationWay | None = None,
    limits: RoundLimits | None = None,
) -> Iterator[Hub]:
    """Open a hub: become its log's only writer, fold the log, and begin to record.

    `may_reach` says to which hosts of webhooks the hub may connect; by default to public ones. `federation` is the way
    to the members of federations, and `limits` those of their rounds; without it, every training is refused.

    Raises:
        ConflictError, TamperDetectedError: as `ledger.log.Log.open`.
        InvalidRequestError: its configuration is wrong, or its tables are of another version of this software.
    """
    with ExitStack() as stack:
        engine = home.open_database()
        stack.callback(engine.dispose)
        settings, bureau = home.settings, Bureau(home.settings.bureau, home.load_service_key(passphrase))
        documents, log_home = Documents(engine, clock), home.load_log()
        recorder, store = _open_recorder(stack, log_home, clock, documents, settings, cosignatures, passphrase)
        nonces, answers, drafts = (
            Nonces(engine, clock),
            Answers(engine, clock),
            Drafts(engine, clock, limit=settings.max_drafts),
        )
        answers.forget_unfinished()
        address, catalogue, webhooks = Address(settings.address), HubCatalogue(documents), Webhooks(engine, clock)
        groups, federation_store = FederationGroups(store), FederationStore(engine)
        if federation is not None:
            stack.enter_context(
                Federating(
                    recorder=recorder,
                    bureau=bureau,
                    groups=groups,
                    store=federation_store,
                    way=federation,
                    clock=clock,
                    limits=limits or RoundLimits(),
                )
            )
        forget = (nonces.forget_expired, answers.forget_old, drafts.forget_expired)
        yield Hub(
            settings=settings,
            clock=clock,
            address=address,
            store=store,
            log_reader=LogReader(store),
            log_verifiers=log_home.verifiers(),
            recorder=recorder,
            bureau=bureau,
            authenticator=Authenticator(
                standing=lambda: recorder.standing, address=address, nonces=nonces, clock=clock
            ),
            answers=answers,
            documents=documents,
            drafts=drafts,
            catalogue=catalogue,
            decider=Decider(
                bureau,
                catalogue,
                store,
                recorder.usage,
                groups=groups,
                rules=settings.rules,
                check_recipe=refuse_recipes if federation is None else check_recipe,
            ),
            leasing=Leasing(bureau, recorder.worklist, lease_s=settings.lease_s, may_lease=groups.may_lease),
            results=Results(engine, clock),
            webhooks=webhooks,
            deliveries=stack.enter_context(Deliveries(webhooks, recorder, bureau, clock, may_reach=may_reach)),
            upkeep=stack.enter_context(Upkeep(bureau, recorder, clock, forget=forget)),
            turnstile=Turnstile(settings.max_in_flight),
            metrics=Metrics(),
            federation_groups=groups,
            federation_store=federation_store,
            federation_way=federation,
        )


def _open_recorder(
    stack: ExitStack,
    log_home: LogHome,
    clock: Clock,
    documents: Documents,
    settings: Settings,
    cosignatures: CosignatureSource | None,
    passphrase: bytes | None,
) -> tuple[Recorder, SqlStore]:
    """Open the log, and its one writer on it."""

    def make_standing(find_terms: Callable[[str], Agreement | None]) -> Standing:
        return Standing(bureau=settings.bureau, roots=settings.roots, find_terms=find_terms)

    pinned = PinnedClock(clock)
    log, store = log_home.open_log(pinned, passphrase=passphrase, cosignatures=cosignatures)
    stack.callback(store.close)
    stack.enter_context(log)
    recorder = Recorder(log=log, store=store, clock=pinned, documents=documents, make_standing=make_standing)
    return stack.enter_context(recorder), store
