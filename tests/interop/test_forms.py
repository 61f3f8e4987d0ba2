"""Mode Exec: commands as a user writes them, their exit codes, and the forms of a result."""

import subprocess

import pytest
from celery import states
from client import Client, Gate
from rig.waiting import until

pytestmark = pytest.mark.petiole("a Celery task is no command")

WITHIN = 20


def test_text_is_what_the_command_prints_without_the_last_newline(client: Client) -> None:
    assert client.send("exec.text", "one", kwargs={"other": "two"}).get(timeout=WITHIN) == "one and two"


def test_json_is_the_value_that_the_command_prints(client: Client) -> None:
    assert client.send("exec.json", [1, {"two": 3}]).get(timeout=WITHIN) == {"given": [1, {"two": 3}]}


def test_a_command_that_prints_nothing_returns_none(client: Client) -> None:
    assert client.send("exec.empty").get(timeout=WITHIN) is None


def test_a_shell_says_how_far_it_is_by_a_line_of_json(client: Client, gate: Gate) -> None:
    result = client.send("exec.progress", str(gate.folder))
    until("it is loading", lambda: result.state == "LOADING")
    assert result.info == [1]
    gate.open()
    assert result.get(timeout=WITHIN) is None
    assert result.state == states.SUCCESS


def test_none_is_the_value_of_a_command_whose_output_is_log(client: Client) -> None:
    result = client.send("exec.none")
    assert result.get(timeout=WITHIN) is None
    assert result.state == states.SUCCESS


def test_a_file_holds_the_value_of_a_command_whose_output_is_log(client: Client) -> None:
    assert client.send("exec.file").get(timeout=WITHIN) == [1, "two"]


def test_a_value_that_is_no_json_fails_and_says_so(client: Client) -> None:
    result = client.send("exec.garbage")
    with pytest.raises(Exception, match="not JSON") as raised:
        result.get(timeout=WITHIN)
    assert type(raised.value).__name__ == "EncodeError"


def test_the_environment_names_the_task(client: Client) -> None:
    result = client.send("exec.environment")
    assert result.get(timeout=WITHIN) == f"{result.id} exec.environment"


@pytest.mark.parametrize("code", [1, 2, 127])
def test_an_exit_code_other_than_zero_is_a_failure_with_stderr_as_its_traceback(client: Client, code: int) -> None:
    result = client.send("exec.exit", code)
    with pytest.raises(subprocess.CalledProcessError) as raised:
        result.get(timeout=WITHIN)
    assert raised.value.returncode == code
    assert "it went wrong" in result.traceback


def test_exit_code_zero_is_a_success(client: Client) -> None:
    result = client.send("exec.exit", 0)
    assert result.get(timeout=WITHIN) is None
    assert result.state == states.SUCCESS


def test_an_argument_that_the_message_lacks_raises_a_type_error_that_names_it(client: Client) -> None:
    with pytest.raises(TypeError, match=r"exec\.text.*kwargs\.other"):
        client.send("exec.text", "one").get(timeout=WITHIN)


def test_an_argument_over_128_kib_is_refused_and_told_to_use_stdin(client: Client) -> None:
    with pytest.raises(Exception, match="use stdin"):
        client.send("exec.json", "x" * (128 * 1024)).get(timeout=WITHIN)


def test_an_argument_over_128_kib_is_taken_by_stdin(client: Client) -> None:
    assert client.send("exec.stdin", "x" * (300 * 1024)).get(timeout=WITHIN) > 300 * 1024


def test_a_shell_never_sees_an_argument(client: Client) -> None:
    words = "$(touch /tmp/never); `id` 'quoted' \"twice\" *"
    assert client.send("exec.text", words, kwargs={"other": ""}).get(timeout=WITHIN) == f"{words} and "


def test_a_program_that_is_not_there_fails_and_names_it(client: Client) -> None:
    with pytest.raises(OSError, match="/no/such/program"):
        client.send("exec.absent").get(timeout=WITHIN)


def test_a_result_over_the_limit_is_refused_and_told_where_to_put_it(client: Client) -> None:
    with pytest.raises(ValueError, match="store it elsewhere"):
        client.send("exec.large", 17 << 20).get(timeout=60)
