import inspect

import anthropic
import openai
import pytest

from llm_magic import exceptions
from llm_magic.providers.base import error_for_status, provider_error
from llm_magic.types import Request

REQUEST = Request("openai", "gpt-x", [])
E = exceptions

# Every exception of the SDKs that a call can end in, and what it becomes here. A new one fails the
# test below until somebody has decided what it means.
STATUS = {
    "openai": {
        "AuthenticationError": (401, E.AuthenticationError),
        "BadRequestError": (400, E.BadRequestError),
        "ConflictError": (409, E.ConflictError),
        "InternalServerError": (500, E.ServerError),
        "NotFoundError": (404, E.NotFoundError),
        "OAuthError": (401, E.AuthenticationError),
        "PermissionDeniedError": (403, E.PermissionDeniedError),
        "RateLimitError": (429, E.RateLimitError),
        "UnprocessableEntityError": (422, E.BadRequestError),
    },
    "anthropic": {
        "AuthenticationError": (401, E.AuthenticationError),
        "BadRequestError": (400, E.BadRequestError),
        "ClientClosedRequestError": (499, E.BadRequestError),
        "ConflictError": (409, E.ConflictError),
        "ContentTooLargeError": (413, E.BadRequestError),
        "GatewayTimeoutError": (504, E.ServerError),
        "HTTPNotImplementedError": (501, E.ServerError),
        "InternalServerError": (500, E.ServerError),
        "NotFoundError": (404, E.NotFoundError),
        "OverloadedError": (529, E.OverloadedError),
        "PaymentRequiredError": (402, E.QuotaError),
        "PermissionDeniedError": (403, E.PermissionDeniedError),
        "PreconditionFailedError": (412, E.BadRequestError),
        "RateLimitError": (429, E.RateLimitError),
        "RequestHeaderFieldsTooLargeError": (431, E.BadRequestError),
        "RequestTimeoutError": (408, E.ConflictError),
        "ServiceUnavailableError": (503, E.OverloadedError),
        "UnprocessableEntityError": (422, E.BadRequestError),
    },
}
OTHER = {
    "APIConnectionError": E.ConnectionFailedError,
    "APITimeoutError": E.RequestTimeoutError,
    "APIResponseValidationError": E.ServerError,  # status 200, and a body that is none
}
# The roots, and what only webhooks raise.
NEVER_RAISED = {"APIError", "APIStatusError", "APIWebhookValidationError"}

SDKS = {"openai": openai, "anthropic": anthropic}


def exceptions_of(sdk):
    found, todo = set(), [SDKS[sdk].APIError]
    while todo:
        found.add(todo[-1])
        todo += todo.pop().__subclasses__()
    return {cls for cls in found if cls.__module__.partition(".")[0] == sdk}


class Answer:
    """As much of an HTTP response as the SDKs' exceptions look at."""

    def __init__(self, status, **headers):
        self.status_code = status
        self.headers = headers
        self.request = None


@pytest.mark.parametrize("sdk", SDKS)
def test_every_exception_of_the_sdk_has_a_row(sdk):
    rows = STATUS[sdk].keys() | OTHER.keys()
    found = {cls.__name__: cls for cls in exceptions_of(sdk)}

    # Anthropic has a hundred finer ones; what counts for us is the status of the family.
    families = {
        name: next((base.__name__ for base in cls.__mro__ if base.__name__ in rows), None)
        for name, cls in found.items()
    }

    assert {
        name for name, family in families.items() if family is None
    } == NEVER_RAISED & families.keys()
    assert rows <= families.keys()


@pytest.mark.parametrize(
    ("sdk", "name", "status", "expected"),
    [(sdk, name, *row) for sdk, rows in STATUS.items() for name, row in rows.items()],
)
def test_an_http_error_becomes_ours(sdk, name, status, expected):
    cls = next(cls for cls in exceptions_of(sdk) if cls.__name__ == name)
    if name == "OAuthError":
        error = cls(response=Answer(status), body={"error": "x"})
    else:
        error = cls("no", response=Answer(status, **{"retry-after": "7"}), body=None)

    ours = provider_error(error, request=REQUEST)

    assert expected in type(ours).__mro__[:2]
    assert (ours.status, ours.provider, ours.model, ours.billed) == (
        status,
        "openai",
        "gpt-x",
        False,
    )
    assert ours.retry_after == (None if name == "OAuthError" else 7)
    assert f"{sdk}." in str(ours.__cause__)


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize(("name", "expected"), OTHER.items())
def test_a_failure_without_http_error_becomes_ours(sdk, name, expected):
    cls = getattr(SDKS[sdk], name)
    known = {"request": None, "response": Answer(200), "body": None}
    wanted = inspect.signature(cls).parameters

    error = cls(**{key: value for key, value in known.items() if key in wanted})

    assert expected in type(provider_error(error, request=REQUEST)).__mro__[:2]


@pytest.mark.parametrize(
    ("error", "expected", "billed"),
    [
        (TimeoutError("slow"), E.RequestTimeoutError, None),
        (ConnectionResetError("reset"), E.ConnectionFailedError, None),
        (ValueError("odd"), E.ProviderError, None),
    ],
)
def test_other_exceptions_become_ours_too(error, expected, billed):
    ours = provider_error(error, request=REQUEST, partial="so far")

    assert expected in type(ours).__mro__[:2]
    assert (ours.partial, ours.billed) == ("so far", billed)


@pytest.mark.parametrize(
    ("name", "billed"), [("ConnectTimeout", False), ("PoolTimeout", False), ("ReadTimeout", None)]
)
def test_a_request_that_never_left_is_not_billed(name, billed):
    error = openai.APITimeoutError(request=None)
    error.__cause__ = type(name, (Exception,), {})()

    assert provider_error(error, request=REQUEST).billed is billed


def test_our_own_error_stays_as_it_is():
    error = E.IncompleteError("x")

    assert provider_error(error, request=REQUEST) is error


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"type": "overloaded_error", "message": "m"}}, E.OverloadedError),
        ({"error": {"code": "insufficient_quota", "message": "m"}}, E.QuotaError),
        ({"type": "error", "error": {"type": "authentication_error"}}, E.AuthenticationError),
        ({"error": {"details": {"error_code": "enforced_spend_limit_reached"}}}, E.QuotaError),
        ({"error": {"message": "Your credit balance is too low to access it"}}, E.QuotaError),
        ({"error": "just text"}, E.ServerError),
    ],
)
def test_an_error_inside_an_answer_is_known_by_its_type(body, expected):
    assert expected in type(error_for_status(None, body, request=REQUEST)).__mro__[:2]


def test_an_error_page_is_shortened():
    error = error_for_status(502, "<html>" + "blah " * 10_000, request=REQUEST)

    assert E.ServerError in type(error).__mro__[:2]
    assert len(str(error)) < 1100
