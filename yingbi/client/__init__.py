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
from yingbi.client.results import SUPPRESSED, ModelResult, Suppressed, TableResult, TrainingResult
from yingbi.client.settings import Patience, Settings
from yingbi.client.status import JobStatus
from yingbi.client.training import AsyncFederation, AsyncTrainingPlan, Federation, TrainingPlan
from yingbi.client.training_model import TrainedModel
from yingbi.client.training_questions import MemberQuestion
from yingbi.client.training_status import FederationNode, FederationStatus
from yingbi.client.training_steps import FederationDryRun

__all__ = [
    "SUPPRESSED",
    "AsyncClient",
    "AsyncFederation",
    "AsyncJob",
    "AsyncTrainingPlan",
    "Catalog",
    "Client",
    "DryRun",
    "EntryReceipt",
    "Explanation",
    "Federation",
    "FederationDryRun",
    "FederationNode",
    "FederationStatus",
    "Filed",
    "Found",
    "Frame",
    "FrameColumn",
    "GroupBy",
    "Job",
    "JobRefusedError",
    "JobStatus",
    "MemberQuestion",
    "ModelResult",
    "OperationNotPermittedError",
    "Patience",
    "Query",
    "RegressionQuery",
    "Settings",
    "Suppressed",
    "TableQuery",
    "TableResult",
    "TrainedModel",
    "TrainingPlan",
    "TrainingResult",
    "UnknownNameError",
    "aconnect",
    "connect",
    "open_async_client",
    "open_client",
]
