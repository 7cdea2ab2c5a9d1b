#!/usr/bin/env python3
"""Loads the same documents into a Meilisearch twice, as a whole and in parts as nodes hold them, asks both, and writes
what they answer to `merging.jsonl` beside this script.

    meilisearch --no-analytics --db-path /tmp/record --http-addr 127.0.0.1:7700 &
    python3 record_merging.py http://127.0.0.1:7700

The server must be empty and run without a master key. Recorded with version 1.50.0. Each case has the client's request
and the body that a node is to be asked with, written down by hand; times and request ids are made equal.
"""

import json
import pathlib
import re
import sys
import time
import urllib.request

BASE = sys.argv[1]
OUT = pathlib.Path(__file__).parent / "merging.jsonl"
TAG = "_miroir_shard"
# Shards of each part.
PARTS = [[0, 7], [3], [1, 12, 15]]


def request(method, path, body=None, headers=()):
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(BASE + path, data=data, method=method)
    call.add_header("content-type", "application/json")
    for name, value in headers:
        call.add_header(name, value)
    with urllib.request.urlopen(call) as answer:
        return answer.read().decode()


def done(answer):
    uid = json.loads(answer)["taskUid"]
    while True:
        task = json.loads(request("GET", f"/tasks/{uid}"))
        if task["status"] in ("succeeded", "failed"):
            assert task["status"] == "succeeded", task
            return
        time.sleep(0.01)


def tag(shard):
    return "".join(chr(0x2E00 | digit) for digit in (shard >> 4, shard & 15))


def clause(shards):
    return f"{TAG} IN [" + ",".join(f'"{tag(shard)}"' for shard in shards) + "]"


TITLES = [
    "The quiet river", "River of glass", "A river runs late", "Glass and silver", "The silver rover", "Rivers, rivers",
    "Late quiet evening", "The river and the glass", "Quiet glass river", "Silver evening", "Riverr without end",
    "The end of the evening", "An evening by the river", "Glass river, quiet evening",
]
GENRES = ["Drama", "Comedy", "War", "Épopée", "Western", "10", "9"]


def document(number, title):
    found = {
        "id": f"f-{number}", "title": title, "genres": [GENRES[number % 7], GENRES[number * 3 % 5]],
        "year": 1950 + number * 7 % 40, "series": f"s{number % 4}", "rating": number * 1.25,
    }
    if number % 5 == 0:
        del found["rating"]
    if number % 3 == 0:
        found["notes"] = {"text": 'a "quoted" river \\ é', "size": 1e21, "none": None}
    return found


def load():
    filterable = ["genres", "year", "series", "rating"]
    rule = {"attributePatterns": [TAG],
            "features": {"facetSearch": False, "filter": {"equality": True, "comparison": False}}}
    settings = {"filterableAttributes": filterable, "sortableAttributes": ["year", "rating"]}
    on_nodes = {**settings, "filterableAttributes": [*filterable, rule]}
    for index in ["whole", *(f"part{part}" for part in range(len(PARTS)))]:
        done(request("PATCH", f"/indexes/{index}/settings", settings if index == "whole" else on_nodes))
    documents = [document(number, title) for number, title in enumerate(TITLES)]
    # Ties fall by part, then by the order of arrival: the whole gets one part after the other.
    for part, shards in enumerate(PARTS):
        mine = [(number, one) for number, one in enumerate(documents) if number * 2 % 3 == part]
        tagged = [{**one, TAG: tag(shards[number % len(shards)])} for number, one in mine]
        done(request("POST", f"/indexes/part{part}/documents", tagged))
        done(request("POST", "/indexes/whole/documents", [one for _, one in mine]))


def leveled(answer, took_ms):
    answer = re.sub(r'"processingTimeMs":\d+', f'"processingTimeMs":{took_ms}', answer)
    return re.sub(r'"requestUid":"[^"]+"', '"requestUid":"0196f000-0000-7000-8000-000000000000"', answer)


def record(about, route, client, asked, headers=()):
    nodes = []
    for part, shards in enumerate(PARTS):
        body = {**asked, "filter": [*asked.get("filter", []), clause(shards)]}
        nodes.append(leveled(request("POST", f"/indexes/part{part}/{route}", body, headers), 1))
    page = leveled(request("POST", f"/indexes/whole/{route}", client), 7)
    case = {"about": about, "route": route, "client": client, "asked": asked, "nodes": nodes, "page": page}
    return json.dumps(case, ensure_ascii=False)


DETAILS = {"showRankingScoreDetails": True}
SORTED = [("meili-proxy-search", "true")]
CASES = [
    ("scores", "search", {"q": "quiet river", "showRankingScore": True, "limit": 6},
     {"q": "quiet river", **DETAILS, "showRankingScore": True, "limit": 6}),
    ("details", "search", {"q": "glass river", "showRankingScoreDetails": True, "limit": 4, "offset": 1},
     {"q": "glass river", **DETAILS, "limit": 5}),
    ("facets", "search", {"q": "", "facets": ["genres", "year", "rating"], "limit": 2},
     {"q": "", "facets": ["genres", "year", "rating"], **DETAILS, "limit": 2}),
    ("facets of what a filter leaves", "search", {"filter": "year > 1960", "facets": ["*"], "limit": 0},
     {"filter": ["year > 1960"], "facets": ["*"], **DETAILS, "limit": 0}),
    ("pages by number", "search", {"sort": ["year:desc"], "page": 2, "hitsPerPage": 4},
     {"sort": ["year:desc"], **DETAILS, "page": 1, "hitsPerPage": 8}),
    ("a sort by what some lack", "search", {"q": "the", "sort": ["rating:asc"], "limit": 20},
     {"q": "the", "sort": ["rating:asc"], **DETAILS, "limit": 20}),
    ("what is shown", "search",
     {"q": "river", "attributesToRetrieve": ["title"], "attributesToHighlight": ["title", "notes"], "limit": 5},
     {"q": "river", "attributesToRetrieve": ["title", "id"], "attributesToHighlight": ["title", "notes"], **DETAILS,
      "limit": 5}),
    ("a threshold", "search", {"q": "quiet river", "rankingScoreThreshold": 0.7, "showRankingScore": True},
     {"q": "quiet river", "rankingScoreThreshold": 0.7, "showRankingScore": True, **DETAILS, "limit": 20}),
    ("distinct values", "search",
     {"q": "river", "distinct": "series", "attributesToRetrieve": ["title"], "page": 1, "hitsPerPage": 30},
     {"q": "river", "distinct": "series", "attributesToRetrieve": ["title", "series", "id"], **DETAILS, "page": 1,
      "hitsPerPage": 30}),
    ("facet values", "facet-search", {"facetName": "genres"}, {"facetName": "genres"}),
    ("facet values by a query", "facet-search", {"facetName": "genres", "facetQuery": "dra", "filter": "year < 1985"},
     {"facetName": "genres", "facetQuery": "dra", "filter": ["year < 1985"]}),
    ("documents", "documents/fetch", {"offset": 3, "limit": 6, "fields": ["id", "notes"]},
     {"offset": 0, "limit": 9, "fields": ["id", "notes"]}),
    ("documents by a filter", "documents/fetch", {"filter": [["series = s1", "series = s2"]], "limit": 50},
     {"filter": [["series = s1", "series = s2"]], "offset": 0, "limit": 50}),
    ("documents in order", "documents/fetch", {"sort": ["rating:desc"], "offset": 2, "limit": 5, "fields": ["id"]},
     {"sort": ["rating:desc"], "offset": 0, "limit": 7, "fields": ["id"]}, SORTED),
]

load()
with open(OUT, "w", newline="") as file:
    for case in CASES:
        file.write(record(*case) + "\n")
print(len(CASES), "cases")
