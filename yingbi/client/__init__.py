"""What a partner's analysts work with: a hub's catalogue as lazy frames, jobs, verified results (docs/sdk.md)."""

from yingbi.client.connection import (
    AsyncClient,
    Catalog,
    Client,
    Found,
    aconnect,
    connect,
    open_async_client,
    open_client,
)
from yingbi.client.decisions import DryRun
from yingbi.client.evidence import EntryReceipt
from yingbi.client.explain import Explanation
from yingbi.client.frame import Frame, FrameColumn, GroupBy
from yingbi.client.hub import Filed
from yingbi.client.jobs import AsyncJob, Job
from yingbi.client.problems import JobRefusedError, OperationNotPermittedError, UnknownNameError
from yingbi.client.query import Query, RegressionQuery, TableQuery
from yingbi.client.results import SUPPRESSED, ModelResult, Suppressed, TableResult
from yingbi.client.settings import Patience, Settings
from yingbi.client.status import JobStatus

__all__ = [
    "SUPPRESSED",
    "AsyncClient",
    "AsyncJob",
    "Catalog",
    "Client",
    "DryRun",
    "EntryReceipt",
    "Explanation",
    "Filed",
    "Found",
    "Frame",
    "FrameColumn",
    "GroupBy",
    "Job",
    "JobRefusedError",
    "JobStatus",
    "ModelResult",
    "OperationNotPermittedError",
    "Patience",
    "Query",
    "RegressionQuery",
    "Settings",
    "Suppressed",
    "TableQuery",
    "TableResult",
    "UnknownNameError",
    "aconnect",
    "connect",
    "open_async_client",
    "open_client",
]
