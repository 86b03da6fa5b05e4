"""The API does what its description says, whatever is sent."""

import io

import pytest
import requests
from PIL import Image
from skimage.data import astronaut

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")
import hypothesis  # noqa: E402
from schemathesis import GenerationMode, checks  # noqa: E402
from served import KEY  # noqa: E402

pytestmark = pytest.mark.slow
SETTINGS = hypothesis.settings(
    max_examples=30,
    deadline=None,
    derandomize=True,  # a fixed seed
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
# Not that every described request succeeds: no description makes random bytes a photo.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


def operations(server):
    found = [result.ok() for result in schemathesis.openapi.from_url(f"{server}/openapi.json").get_all_operations()]
    assert len(found) >= 6
    return found


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("which", ["server", "locked_server"])
def test_answers_are_as_described(request, which, mode):
    """Status codes, content types and bodies, for what the schema allows and for what it does not; no 5xx."""
    sent = 0
    for operation in operations(request.getfixturevalue(which)):

        @SETTINGS
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def send(case):
            nonlocal sent
            sent += 1
            case.call_and_validate(timeout=20, checks=CHECKS)

        try:
            send()
        except hypothesis.errors.Unsatisfiable:  # there is nothing to be done wrong
            assert mode is GenerationMode.NEGATIVE
            assert operation.method == "get"
    assert sent > 60


def test_a_photo_is_answered_as_described(locked_server):
    photo = io.BytesIO()
    Image.fromarray(astronaut()[::8, ::8]).save(photo, "JPEG")
    for operation in operations(locked_server):
        if operation.path in ("/api/colorizer", "/v1/colorize"):
            answer = requests.post(
                f"{locked_server}{operation.path}", files={"image": photo.getvalue()}, headers={"api-key": KEY}
            )
            assert answer.status_code == 200
            operation.validate_response(answer)
