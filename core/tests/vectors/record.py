#!/usr/bin/env python3
"""Sends awkward payloads to a Meilisearch and writes what it answers to `engine.jsonl` beside this script.

    meilisearch --no-analytics --db-path /tmp/record --http-addr 127.0.0.1:7700 &
    python3 record.py http://127.0.0.1:7700

The server must be empty and run without a master key. Recorded with version 1.50.0.
"""

import json
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BASE = sys.argv[1]
INDEX = "films"
OUT = pathlib.Path(__file__).parent / "engine.jsonl"
TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv", "delete": "application/json"}


def request(method, path, body=None, content_type=None):
    call = urllib.request.Request(BASE + path, data=body, method=method)
    if content_type:
        call.add_header("content-type", content_type)
    try:
        with urllib.request.urlopen(call) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def finished(answer):
    while True:
        task = request("GET", f"/tasks/{answer['taskUid']}")[1]
        if task["status"] in ("succeeded", "failed"):
            return task
        time.sleep(0.01)


def short(error):
    return error and {"code": error["code"], "message": error["message"]}


def record(form, body, key=None, delimiter=None, geo=False):
    if isinstance(body, str):
        body = body.encode()
    finished(request("DELETE", f"/indexes/{INDEX}")[1])
    if geo:
        settings = json.dumps({"sortableAttributes": ["_geo"]}).encode()
        finished(request("PATCH", f"/indexes/{INDEX}/settings", settings, "application/json")[1])
    if form == "delete":
        path, query = f"/indexes/{INDEX}/documents/delete-batch", {}
        finished(request("POST", f"/indexes/{INDEX}/documents", b'[{"id":0}]', "application/json")[1])
    else:
        path = f"/indexes/{INDEX}/documents"
        query = {name: value for name, value in [("primaryKey", key), ("csvDelimiter", delimiter)] if value is not None}
    status, answer = request("POST", path + "?" + urllib.parse.urlencode(query), body, TYPES[form])
    case = {"format": form}
    if key is not None:
        case["key"] = key
    if delimiter is not None:
        case["delimiter"] = delimiter
    if geo:
        case["geo"] = True
    try:
        case["body"] = body.decode()
    except UnicodeDecodeError:
        case["hex"] = body.hex()
    case["status"] = status
    if status == 202:
        task = finished(answer)
        details = task["details"]
        case["error"] = short(task["error"])
        case["received"] = details.get("receivedDocuments", details.get("providedIds"))
        if form != "delete":
            case["indexed"] = details["indexedDocuments"]
            case["primaryKey"] = request("GET", f"/indexes/{INDEX}")[1]["primaryKey"]
    else:
        case["error"] = short(answer)
    return json.dumps(case, ensure_ascii=False)


def deep(levels):
    return "[" * levels + "]" * levels


CASES = []


def cases(form, bodies, **more):
    CASES.extend((form, body, more) for body in bodies)


cases("json", [
    "", "   ", "[]", "[ ]", "[1]", '[{"id":1},2]', '[2,{"id":1}]', '[{"id":1},[2]]', '"foo"', "12", "nope", "{", "[",
    '[{"id":1},]', '[{"id":1} {"id":2}]', '[{"id":1}]xx', '{"id":1} x', '{"id":1}', '{"id":1,}', '[{"id":01}]',
    '[{"id":"a\nb"}]', '[{"id":1,"a":"\\x"}]', '[{"id":1,"a":"\\ud800"}]', '{"id":1,"a":"\\ud800"}',
    '[{"id":1,"a":"\\ud83d\\ude00"}]', '{"id":1,"a":"\\uD83D\\uDE00"}', '[{"id":1,"a":"\\udc00\\ud83d"}]',
    '[{"id":1,"\\ud800":1}]', '[{"id":1,"\\ud800":1},{"id":2}]', '[{"id":1,"a":1e400}]', '[{"id":1,"a":-1e400}]',
    '[{"id":1,"a":1e-400}]', '[{"id":1,"a":' + "9" * 400 + "}]", '[{"id":1,"a":' + "9" * 300 + "e9}]",
    '[{"id":1,"a":0.' + "9" * 400 + "}]", '{"id":1,"a":1e400}', b'[{"id":1,"a":"\xff"}]', b'[{"id":1,"a":"\xc3\xa9"}]',
    b'[{"id":1}]\xff', b'[{"id":1,"a\xff":1}]', b'[{"id":1}\xff]',
    *('[{"id":1,"a":' + deep(n) + "}]" for n in (100, 126, 127, 128, 200)),
    *('{"id":1,"a":' + deep(n) + "}" for n in (100, 126, 127, 128, 200)),
    '[{"id":1,"a":' + '{"b":' * 127 + "1" + "}" * 127 + "}]", '[{"id":1,"a":' + '{"b":' * 128 + "1" + "}" * 128 + "}]",
    "{}", "[{}]", '[{"x":1}]', '[{"aid":1,"bid":2,"ID":3}]', '[{"id":1},{"x":1}]', '[{"id":1},{"id":"a b"}]',
    '[{"x":1},{"id":1}', '[{"id":"a b"},{"id":1}', '[{"id":"a b"},{"x":1e400}]', '[{"id":1,"x":1e400},{"id":"a b"}]',
    '[{"id":1.0}]', '[{"id":1e3}]', '[{"id":-0}]', '[{"id":-5}]', '[{"id":0}]', '[{"id":18446744073709551615}]',
    '[{"id":18446744073709551616}]', '[{"id":-9223372036854775808}]', '[{"id":-9223372036854775809}]',
    '[{"id":null}]', '[{"id":{"a":1}}]', '[{"id":[1]}]', '[{"id":true}]', '[{"id":""}]', '[{"id":1,"id":2}]',
    '[{"id":"x y","id":2}]', '[{"id":2,"\\u0069d":"x y"}]', '[{"\\u0069d":1}]', '[{"id":"\\u0061"}]',
    '[{"id":"\\u0020"}]', '[{"id":"é"}]', '[{"id":"' + "a" * 511 + '"}]', '[{"id":"' + "a" * 512 + '"}]', "null", "true",
    '{"id":1}{"id":2}', "[null]", '[{"id":1}', '[{"id":1},', '[{"id":1', '{"id":tru}', '[{"id":1,"a":nul}]',
    '[{"id":1,"a":"' + "x" * 300 + '" y}]', '[{"id":1,"a":-}]', '[{"id":1,"a":1.}]', '[{"id":1,"a":1e}]',
    '[{"id":1,"a":.5}]', '[{"id":1,"a":+5}]', '[{"id":1,"a":0x1}]', "\ufeff" + '[{"id":1}]', '[{"id":1,"a":"\t"}]',
    '[{"id":1,"a":[1,2,]}]', '[{"id":1,"a":{"b":1,}}]', '[{"id":1,"a":{"b"}}]', '[{"id":1,"a":{1:2}}]', '[{"id" 1}]',
    '[{"id":1,"Id":2}]', '[{"ID":1}]', '[{"İd":1,"xİD":2}]', '[{"id":1},{"id":1},{"id":"1"},{"id":2}]', '[,]', '[{,}]',
    '[{"id":1,"a":"\\u12"}]', '[{"id":1,"a":"\\u12g4"}]', '[{"id":1,"a":"abc', '[{"id":1,"a":"abc\\', "\n\n  [\n{\n",
    '[{"id":1,"_geo":5}]', '[{"id":1,"_geojson":5}]',
])
cases("json", [
    '[{"a":{"b":1}}]', '[{"a":{"b":1},"a.b":2}]', '[{"a.b":1}]', '[{"a":1}]', '[{"a":{"b":{"c":1}}}]', '{"a":{"b":1,"b":2}}',
    '[{"a":{"b":1,"b":2}}]', '[{"a":[{"b":1}]}]', '[{"a":{"b":"x y"}}]', '[{"a":{}}]', '[{"a":{"b":1},"a":{"b":2}}]',
    '[{"a":{"b":1},"a":{}}]', '[{"a":{"\\u0062":1}}]', '{"a":{"b":1},"a":{"c":2}}', '[{"a":{"b":1},"a.b":"x y"}]',
], key="a.b")
cases("json", ['[{"a":{"b":{"c":1}}},{"a.b":{"c":2}},{"a":{"b.c":3}},{"a.b.c":4}]', '[{"a":{"b":{"c":1}},"a.b":{"c":2}}]'],
      key="a.b.c")
cases("json", ["[]", '[{"b":1.10,"a":123456789012345678901234567890,"x":1e5}]', '[{"b":1,"b":2,"c":{"d":1,"d":2}}]',
               '[{"x":"\\u00e9\\n\\""}]'], key="id")
cases("json", ['[{"id":1}]', '[{"":1}]'], key="")
cases("json", [
    '[{"id":1,"_geo":%s}]' % geo for geo in [
        "5", "null", '"x"', "{}", '{"lat":1}', '{"lng":1}', '{"lat":1,"lng":2,"x":3}', '{"lat":"a","lng":"b"}',
        '{"lat":1,"lng":"b"}', '{"lat":"1","lng":"2"}', '{"lat":91,"lng":"200"}', '{"lat":null,"lng":1}',
        '{"lat":true,"lng":"inf"}', "[1,2]", '{"lat":1,"lat":2,"lng":3}', '{"x":1}']
] + ['[{"id":1,"_geo":5},{"id":"x y"}]', '[{"id":"k","_geo":5}]'], geo=True)
cases("json", [
    '[{"id":1,"_vectors":%s}]' % vectors for vectors in [
        "5", '"s"', "null", "[1]", "{}", '{"e":5}', '{"e":-5}', '{"e":"s"}', '{"e":null}', '{"e":[1]}', '{"e":[["a"]]}',
        '{"e":{"regenerate":3}}', '{"e":{"embeddings":[1,2]}}', '{"e":{"regenerate":false,"embeddings":[1,2,3]}}',
        '{"e":{"regenerate":false,"embeddings":"x"}}', '{"e":{"regenerate":false,"x":1}}', '{"e":{"x":1}}', '{"e":{}}',
        '{"e":1.5}', '{"e":true}', '{"e":{"regenerate":true}}', '{"e":{"regenerate":null}}', '{"a":[1],"e":5,"f":6}']
])
cases("ndjson", [
    "", "  \n", '{"id":1}\n{"id":2}', '{"id":1}{"id":2}', '{"id":1},{"id":2}', '{"id":1}\n[1]', "1", '{"id":1,"id":2}',
    '{"id":1}\nnope', '{"id":1}\n{"id":2', '{"id":1,"a":"\\ud800"}', '{"id":1,"a":1e400}', '{"id":1}\n{"id":2,"a":x}\n',
    '{"id":1,"\\ud800":2}', b'{"id":1,"a":"\xff"}', '{"id":1}\n\n\u00a0', '{"a":{"id":1}}', '"x"{"id":1}', '[{"id":1}]',
    '{"id":1}\nnull', '{"id":1} x', '{"id":\n1\n}\r\n{"id":2}', '{"id":1,"id":"x y"}', '{"id":"x y","id":1}',
    '{"id":1,"b":1,"b":2}', '{"id":1}\n{"id":1}', '{"id":1,"a":' + deep(127) + "}", '{"id":1,"a":' + deep(128) + "}",
])
cases("ndjson", ['{"a":{"b":1,"b":2}}', '{"a":{"b":1},"a":{"b":2}}', '{"a":{"b":1},"a":{}}'], key="a.b")
cases("csv", [
    "", "\n", "id", "id\n", "id\n1", "id,a\n1,2\n3", "id,a\n1,2,3", "id:number,a:boolean\n1,true\n2,x",
    "id:number,a:number\n1,x\n", "id:number\n1.5\n", "id:number\n007\n", "id:number\n+7\n", "id\n007\n", "id:number\nNaN\n",
    "a\n1\n", "id,id\n1,2\n", "id,id\na b,2\n", "id,id\n2,a b\n", "aid,bid\n1,2\n", "id:number,id\n1,2\n",
    'id,a\n"1","x\ny"\n', 'id,a\n"1","x\ny', b"id,a\n1,\xff\n", b"id,\xff\n1,2\n", b'id,a\n1,2\n"3",ab\xff\n',
    b"id,a\n1\n2,\xff\n", b'id,a\n1,"x""y\xff"\n', "id,a\n,2\n", "\ufeffid,a\n1,2\n", "\ufeffid,a\n1\n", "id,a\r\n1,2\r\n",
    "id,a\r\n1,2\r\n3\r\n", "id,a\r1,2\r3,4", "id,a\n\n\n1,2\n\n", "id,a\n\n\n1,2\n\n3", 'id,a\n "1",2\n', 'id,a\n1"x,2\n',
    'id,a\n"1"x,2\n', "id,_geo\n1,5\n", "id:string:number,a\n1,2", "id: number,a\n1,2", "id,a:number\n1, 3 \n2,\n3,1e400\n",
    "id,a:boolean\n1, true \n2,\n3,TRUE", '"id","a"\n1,2\n', ",id\n1,2\n", "id,a\n1 ,2\n", 'id\n""\n', "id\n\n1\n", '"id\n1\n',
    "id,a:number\n1,x\n2", "id,a\n1,2\n3\n4,\n", "id:boolean\ntrue\n", "id,_vectors\n1,5\n", "id,_vectors\n1,\n",
    'id,a:number\n1," 2 "\n', 'id,"a:number"\n1,x\n', "id,a:number\n1,\u00a05\u00a0\n", "id,a:number\n1,é\n",
    "id:number\n18446744073709551615\n", "id:number\n-0\n", "a:b\n1\n", "id,a\n1,2\nx y,3\n", "id,a\nx y,2\n3,4,5\n",
])
cases("csv", ["x,y:number,x\n1,2.50,3\n", "x,y:number\n,\n"], key="id")
cases("csv", ["a.b\n1\n", "a,b\n1,2\n"], key="a.b")
cases("csv", ["id,_geo\n1,5\n", "id,_geo\n1,\n"], geo=True)
for delimiter, body in [("\t", "id\ta\n1\t2\n"), (";", "id;a\n1;2\n"), (";", "id;a\n1,2\n"), ("i", "idia\n1i2\n"),
                        ("\n", "id\na\r1\n2\r"), ("\r", "id\ra\n1\r2\n"), ("_", "id_a\n1_2\n"), ("\0", "id\0a\n1\0002\n"),
                        (" ", "id a\n1 2")]:
    cases("csv", [body], delimiter=delimiter)
cases("delete", [
    "", "  ", "[]", '[1,"1",2,"zz"]', '{"a":1}', "5", "[1", "[1,]", "[1] x", "[1e400]", '["\\ud800"]', "nope",
    '[null,1.0,{"a":1},[1]]', deep(127), deep(128), deep(200), b'["\xff"]', '"x"', "[1]\n ", '["a b"]',
])

with open(OUT, "w", newline="") as file:
    for form, body, more in CASES:
        file.write(record(form, body, **more) + "\n")
print(len(CASES), "cases")
