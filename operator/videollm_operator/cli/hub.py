"""A model on the Hugging Face hub: names of its files, small files, headers by range requests.

`huggingface_hub` is imported only here and only when it is needed. It gives the address
(HF_ENDPOINT), the connection with its proxies, and the token, which stays inside it. Its own
`get_safetensors_metadata` is not used: it reads as much as a server likes to send, and checks
neither offsets nor sizes (decision 29). No error text of a connection is shown: it may hold the
token.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from videollm_operator import __version__
from videollm_operator.api.sentences import shown
from videollm_operator.checkpoints import jsontext
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.safetensors import LENGTH_BYTES, header_length

if TYPE_CHECKING:
    from collections.abc import Collection

TIMEOUT_SECONDS = 10.0
"""Longest silence of the hub."""

DEADLINE_SECONDS = 60.0
"""Longest answer, however slowly it drips."""

FIRST_BYTES = 131_072
"""First request for a header; nearly all are shorter, so that one request is enough."""

_LONGEST_LISTING = 16 * 1024 * 1024
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def offline() -> bool:
    """Whether the environment forbids to ask the hub, as huggingface_hub reads it."""
    words = (os.environ.get(name, "") for name in _OFFLINE)
    return any(word.upper() in {"1", "ON", "YES", "TRUE"} for word in words)


class Hub:
    """Files of a repository at one commit; see `checkpoint.Files`."""

    def __init__(self, repository: str, revision: str = "main") -> None:
        self._repository = repository
        self._revision = revision
        if offline():
            raise CheckpointProblem(
                f"the hub was not asked about {shown(repository)}, since HF_HUB_OFFLINE is set: "
                "unset it, or name the folder in which the model lies"
            )
        try:
            import httpx2
            import huggingface_hub
        except ImportError:  # not there, or so old that it has another HTTP client
            problem = (
                f"to ask the hub about {shown(repository)}, install huggingface_hub 2.4 or newer "
                "(pip install 'videollm-operator[hub]'), or name the folder in which the model lies"
            )
            raise CheckpointProblem(problem) from None
        self._library: Any = huggingface_hub
        self._client: Any = httpx2
        self._endpoint = huggingface_hub.HfApi().endpoint

    def names(self) -> Collection[str]:
        """Files at the top. What follows is read at the commit that was found here."""
        where = f"{self._endpoint}/api/models/{quote(self._repository)}"
        url = f"{where}/revision/{quote(self._revision, safe='')}"
        text, _, _ = self._get(url, most=_LONGEST_LISTING)
        what = f"the hub's answer about {shown(self._repository)}"
        answer = jsontext.read_object(text, what, _LONGEST_LISTING)
        listed, commit = answer.get("siblings"), answer.get("sha")
        if not isinstance(listed, list):
            raise CheckpointProblem(f"{what} lists no files: is HF_ENDPOINT a hub?")
        if isinstance(commit, str) and re.fullmatch("[0-9a-f]{40}", commit):
            self._revision = commit
        names = (each.get("rfilename") for each in listed if isinstance(each, dict))
        return frozenset(name for name in names if isinstance(name, str) and "/" not in name)

    def whole(self, name: str, most: int) -> bytes:
        """A file's content, of which no more than one byte beyond `most` is kept."""
        text, _, _ = self._get(self._url(name), most=most)
        return text

    def header(self, name: str) -> tuple[bytes, int]:
        """A safetensors header without its length, and the size of the whole file in bytes."""
        url = self._url(name)
        first, size, _ = self._get(url, most=FIRST_BYTES, begin=0)
        length = header_length(first, size, shown(name))
        end = LENGTH_BYTES + length
        if end > len(first):
            rest, _, begin = self._get(url, most=end, begin=LENGTH_BYTES)
            first = (first[:begin] + rest)[:end]
        if len(first) < end:
            raise CheckpointProblem(f"the hub's answer for {shown(name)} was cut off: try again")
        return first[LENGTH_BYTES:end], size

    def _url(self, name: str) -> str:
        url: str = self._library.hf_hub_url(
            self._repository, name, revision=self._revision, endpoint=self._endpoint
        )
        return url

    def _get(self, url: str, *, most: int, begin: int | None = None) -> tuple[bytes, int, int]:
        """Content, size of the whole file, and the byte at which the content begins.

        Args:
            url: what to get.
            most: bytes to keep at most; one more is kept to tell that there are more.
            begin: ask for the bytes from here to `most` only.
        """
        from huggingface_hub import utils
        from huggingface_hub.errors import OfflineModeIsEnabled

        client: Any = utils  # its types do not tell of this public function
        try:
            headers = client.build_hf_headers(library_name="videollm", library_version=__version__)
            headers["accept-encoding"] = "identity"
            if begin is not None:
                headers["range"] = f"bytes={begin}-{most - 1}"
            return self._streamed(url, headers, most)
        except OfflineModeIsEnabled:
            problem = (
                "the hub was not asked, since huggingface_hub is in its offline mode: name a folder"
            )
        except self._client.TimeoutException:
            problem = f"{self._host} did not answer within {TIMEOUT_SECONDS:.0f} s: try again later"
        except (self._client.HTTPError, self._client.InvalidURL, UnicodeError):
            problem = (
                f"{self._host} could not be reached about {shown(self._repository)}: check "
                "network, proxy and HF_ENDPOINT, or name the folder in which the model lies"
            )
        raise CheckpointProblem(problem)

    def _streamed(self, url: str, headers: dict[str, str], most: int) -> tuple[bytes, int, int]:
        deadline = time.monotonic() + DEADLINE_SECONDS
        session = self._library.get_session()
        kept = bytearray()
        with session.stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as response:
            if response.status_code == 416:  # an empty file has no range at all
                return b"", 0, 0
            if response.status_code not in {200, 206}:
                raise self._refusal(response)
            begin, size = _extent(response)
            for chunk in response.iter_raw():
                kept += chunk
                if len(kept) > most:
                    break
                if time.monotonic() > deadline:
                    problem = (
                        f"{self._host} took longer than {DEADLINE_SECONDS:.0f} s: try again later"
                    )
                    raise CheckpointProblem(problem)
        if size is None and len(kept) > most:
            name = shown(url.rpartition("/")[2])
            problem = f"{self._host} does not say how large {name} is: try again later"
            raise CheckpointProblem(problem)
        return bytes(kept[: most + 1]), len(kept) if size is None else size, begin

    @property
    def _host(self) -> str:
        """Name of the hub; an address may hold a password."""
        try:
            host = urlsplit(self._endpoint).hostname
        except ValueError:
            host = None
        return f"the hub at {host or 'HF_ENDPOINT'}"

    def _refusal(self, response: Any) -> CheckpointProblem:
        """The sentence for an answer that is none."""
        status, code = response.status_code, response.headers.get("x-error-code", "")
        model = shown(self._repository)
        if code == "GatedRepo":
            sentence = (
                f"{model} is gated: accept its terms on the hub's page, and set HF_TOKEN to a "
                "token that may read it"
            )
        elif code == "RevisionNotFound":
            sentence = f"{model} has no revision {shown(self._revision)}: correct it"
        elif code == "EntryNotFound":
            sentence = f"the hub lists a file of {model} that it does not have: try again later"
        elif status in {401, 403, 404}:
            sentence = (
                f"the hub has no model {model} that can be seen ({status}): correct the name, or "
                "set HF_TOKEN for a private one"
            )
        elif status == 429:
            after = response.headers.get("retry-after", "")
            when = f"in {after} seconds" if re.fullmatch(r"\d{1,5}", after) else "later"
            sentence = f"the hub takes no more requests for now (429): try again {when}"
        else:
            sentence = f"{self._host} answered with status {status}: try again later"
        return CheckpointProblem(sentence)


def _extent(response: Any) -> tuple[int, int | None]:
    """First byte of the content, and the size of the whole file if the server says it."""
    ranged = re.fullmatch(
        r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", response.headers.get("content-range", "")
    )
    if response.status_code == 206 and ranged:
        return int(ranged[1]), int(ranged[2])
    length = response.headers.get("content-length", "")
    return 0, int(length) if re.fullmatch(r"\d{1,18}", length) else None
