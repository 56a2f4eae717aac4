import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.http import Access, MalformedError, PermanentError, TransientError
from gans_pipeline.sources.wikipedia import Wikipedia

Answer = tuple[int, dict[str, str], Any]
PAGE = (
    '<table class="infobox ib-settlement vcard"><tr><th colspan="2"><div class="fn org">Oldtown</div></th></tr>'
    "<tr><th>Population (2020)</th><td>5,000</td></tr></table>"
)
CITIES = (
    "<table><tr><th>City</th><th>Country</th><th>UN 2025 population estimates</th></tr>"
    '<tr><td><a href="/wiki/Oldtown">Oldtown</a></td><td>Chad</td><td>5,000</td></tr></table>'
)


def page(title: str, text: str, **parse: Any) -> Answer:
    body = {"title": title, "pageid": 1, "revid": 77, "text": text, "properties": {"wikibase_item": "Q42"}, **parse}
    return 200, {}, {"parse": body}


def api_error(code: str, **headers: str) -> Answer:
    return 200, {"MediaWiki-API-Error": code, **headers}, {"error": {"code": code, "info": f"about {code}"}}


class Encyclopedia:
    """Answers over real HTTP with what a test puts into ``answers``, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[dict[str, str]] = []
        self.user_agents: list[str] = []
        self.slept: list[float] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                outer.asked.append(
                    {"path": url.path, **{key: values[0] for key, values in parse_qs(url.query).items()}}
                )
                outer.user_agents.append(self.headers["User-Agent"])
                status, headers, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                content = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def client(self) -> Wikipedia:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        provider = ProviderSettings(url=url, per_second=1000, timeout_s=5)
        return Wikipedia(provider, Access("gans-test/1 (https://example.org)", sleep=self.slept.append))


@pytest.fixture
def encyclopedia() -> Iterator[Encyclopedia]:
    served = Encyclopedia()
    yield served
    served.server.shutdown()
    served.server.server_close()


def test_an_article_is_asked_for_by_its_lead_section(encyclopedia: Encyclopedia) -> None:
    encyclopedia.answers = [page("São Paulo", PAGE)]
    article = encyclopedia.client().article("São Paulo")
    assert (article.title, article.revision, article.wikidata_id, article.population) == ("São Paulo", 77, 42, 5000)
    assert encyclopedia.asked == [
        {
            "path": "/w/api.php",
            "action": "parse",
            "page": "São Paulo",
            "prop": "text|revid|properties",
            "redirects": "1",
            "format": "json",
            "formatversion": "2",
            "maxlag": "5",
            "section": "0",
        }
    ]
    assert encyclopedia.user_agents == ["gans-test/1 (https://example.org)"]


def test_a_redirect_gives_the_title_of_its_target(encyclopedia: Encyclopedia) -> None:
    encyclopedia.answers = [page("Mumbai", PAGE, redirects=[{"from": "Bombay", "to": "Mumbai"}])]
    assert encyclopedia.client().article("Bombay").title == "Mumbai"


def test_the_list_is_asked_for_as_a_whole_because_its_table_is_not_in_the_lead(encyclopedia: Encyclopedia) -> None:
    encyclopedia.answers = [page("List of largest cities", CITIES)]
    assert encyclopedia.client().largest_cities()["title"].tolist() == ["Oldtown"]
    assert encyclopedia.asked[0]["page"] == "List of largest cities"
    assert "section" not in encyclopedia.asked[0]


def test_lagging_replicas_are_waited_for_as_long_as_they_ask(encyclopedia: Encyclopedia) -> None:
    encyclopedia.answers = [api_error("maxlag", **{"Retry-After": "5"}), page("Oldtown", PAGE)]
    assert encyclopedia.client().article("Oldtown").population == 5000
    assert len(encyclopedia.slept) == 1
    assert encyclopedia.slept[0] >= 5


def test_a_lag_that_stays_is_transient(encyclopedia: Encyclopedia) -> None:
    encyclopedia.answers = [api_error("maxlag", **{"Retry-After": "5"})]
    with pytest.raises(TransientError, match="Oldtown: maxlag") as caught:
        encyclopedia.client().article("Oldtown")
    assert caught.value.retry_after_s == 5
    assert len(encyclopedia.asked) > 1


def test_a_page_that_does_not_exist_is_named_and_asked_for_once(encyclopedia: Encyclopedia) -> None:
    encyclopedia.answers = [api_error("missingtitle")]
    with pytest.raises(PermanentError, match="Nowhere at all: missingtitle"):
        encyclopedia.client().article("Nowhere at all")
    assert len(encyclopedia.asked) == 1


def test_a_refused_client_is_told_to_name_a_contact(encyclopedia: Encyclopedia) -> None:
    encyclopedia.answers = [
        (403, {"Content-Type": "text/plain"}, "Please set a user-agent and respect our robot policy")
    ]
    with pytest.raises(PermanentError, match=r"GANS_CONTACT.*Please set a user-agent"):
        encyclopedia.client().article("Oldtown")
    assert len(encyclopedia.asked) == 1


def test_the_rate_limit_is_waited_for_as_long_as_it_asks(encyclopedia: Encyclopedia) -> None:
    encyclopedia.answers = [(429, {"Retry-After": "55"}, "Please respect our robot policy"), page("Oldtown", PAGE)]
    assert encyclopedia.client().article("Oldtown").population == 5000
    assert encyclopedia.slept[0] >= 55


@pytest.mark.parametrize("call", [lambda client: client.article("Oldtown"), lambda client: client.largest_cities()])
def test_a_page_that_cannot_be_read_is_malformed_and_named(
    encyclopedia: Encyclopedia, call: Callable[[Wikipedia], object]
) -> None:
    encyclopedia.answers = [page("Some page", "<p>Nothing here.</p>")]
    with pytest.raises(MalformedError, match="Some page"):
        call(encyclopedia.client())
    assert len(encyclopedia.asked) == 1


@pytest.mark.parametrize("body", ["[]", "null", '"x"', "{}"])
def test_an_answer_of_another_shape_is_malformed(encyclopedia: Encyclopedia, body: str) -> None:
    encyclopedia.answers = [(200, {}, body)]
    with pytest.raises(MalformedError):
        encyclopedia.client().article("Oldtown")
