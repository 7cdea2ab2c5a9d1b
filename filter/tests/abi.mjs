// The built module against the proxy-wasm ABI 0.2.1, with a host of the few functions that it imports: its imports and
// exports, a start, a bad and a good configuration, requests that the filter answers itself, a read and a write.
// `cargo xtask test` runs it: node abi.mjs MODULE MAP-OF-EPOCH-7 MAP-OF-EPOCH-8
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

const [path, firstMap, secondMap] = process.argv.slice(2);
const bytes = await readFile(path).catch(() => {
  console.error(`no module at ${path}: run \`cargo xtask wasm\``);
  process.exit(1);
});
const module = await WebAssembly.compile(bytes);

// Names of ABI 0.2.1, and what Envoy offers of WASI.
const HOST = `proxy_log proxy_get_log_level proxy_get_current_time_nanoseconds proxy_set_tick_period_milliseconds
  proxy_get_buffer_bytes proxy_set_buffer_bytes proxy_get_header_map_pairs proxy_set_header_map_pairs
  proxy_get_header_map_value proxy_replace_header_map_value proxy_remove_header_map_value proxy_add_header_map_value
  proxy_get_property proxy_set_property proxy_get_shared_data proxy_set_shared_data proxy_register_shared_queue
  proxy_resolve_shared_queue proxy_enqueue_shared_queue proxy_dequeue_shared_queue proxy_continue_stream
  proxy_close_stream proxy_send_local_response proxy_http_call proxy_grpc_call proxy_grpc_stream proxy_grpc_send
  proxy_grpc_cancel proxy_grpc_close proxy_get_status proxy_set_effective_context proxy_call_foreign_function
  proxy_done proxy_define_metric proxy_get_metric proxy_record_metric proxy_increment_metric`.split(/\s+/);
const WASI = `fd_write fd_read fd_seek fd_close fd_fdstat_get fd_fdstat_set_flags fd_prestat_get fd_prestat_dir_name
  path_open path_create_directory path_remove_directory path_rename path_unlink_file path_filestat_get environ_get
  environ_sizes_get args_get args_sizes_get clock_time_get random_get proc_exit sched_yield poll_oneoff`.split(/\s+/);
const imports = WebAssembly.Module.imports(module);
for (const { module: from, name, kind } of imports) {
  assert.equal(kind, "function", name);
  const offered = { env: HOST, wasi_snapshot_preview1: WASI }[from] ?? [];
  assert(offered.includes(name), `Envoy offers no ${from}.${name}`);
}
const exported = WebAssembly.Module.exports(module).map(({ name }) => name);
for (const name of `memory _initialize proxy_abi_version_0_2_1 proxy_on_memory_allocate proxy_on_context_create
  proxy_on_vm_start proxy_on_configure proxy_on_tick proxy_on_queue_ready proxy_on_request_headers proxy_on_request_body
  proxy_on_request_trailers proxy_on_response_headers proxy_on_http_call_response proxy_on_done proxy_on_log
  proxy_on_delete`.split(/\s+/)) {
  assert(exported.includes(name), `the module does not export ${name}`);
}
assert.deepEqual(exported.filter((name) => name.startsWith("proxy_abi_version")), ["proxy_abi_version_0_2_1"]);

// The host.
const [OK, NOT_FOUND, BAD_ARGUMENT, EMPTY] = [0, 1, 2, 7];
const world = { configuration: "", headers: [], body: "", answer: "", shared: new Map(), calls: [], replies: [], logs: [], rings: 0, metrics: 0 };
const contexts = new Set();
let wasm;
const view = () => new DataView(wasm.memory.buffer);
const text = (at, size) => Buffer.from(wasm.memory.buffer, at, size).toString();
const put = (at, value) => (view().setUint32(at, value, true), OK);
function hand(data, dataAt, sizeAt) {
  const at = data.length === 0 ? 0 : wasm.proxy_on_memory_allocate(data.length);
  new Uint8Array(wasm.memory.buffer).set(data, at);
  put(dataAt, at);
  return put(sizeAt, data.length);
}
function pairs(list) {
  const number = (value) => Buffer.from(Uint32Array.of(value).buffer);
  const items = list.flat().map((item) => Buffer.from(item));
  const ended = items.flatMap((item) => [item, Buffer.of(0)]);
  return Buffer.concat([number(list.length), ...items.map((item) => number(item.length)), ...ended]);
}
function readPairs(at) {
  const count = view().getUint32(at, true);
  let next = at + 4 + count * 8;
  const item = (lengthAt) => {
    const length = view().getUint32(lengthAt, true);
    next += length + 1;
    return text(next - length - 1, length);
  };
  return Array.from({ length: count }, (_, n) => [item(at + 4 + n * 8), item(at + 8 + n * 8)]);
}
const env = {
  proxy_log: (_level, at, size) => (world.logs.push(text(at, size)), OK),
  proxy_get_buffer_bytes(kind, _start, _most, dataAt, sizeAt) {
    const found = { 0: world.body, 4: world.answer, 7: world.configuration }[kind];
    return found === undefined ? NOT_FOUND : hand(Buffer.from(found), dataAt, sizeAt);
  },
  proxy_get_header_map_pairs: (kind, dataAt, sizeAt) =>
    hand(kind === 0 ? pairs(world.headers) : Buffer.alloc(0), dataAt, sizeAt),
  proxy_get_header_map_value: (kind, at, size, dataAt, sizeAt) =>
    kind === 6 && text(at, size) === ":status" ? hand(Buffer.from("200"), dataAt, sizeAt) : NOT_FOUND,
  proxy_get_property: (at, size, dataAt, sizeAt) =>
    text(at, size) === "xds\0node\0id" ? hand(Buffer.from("edge-1"), dataAt, sizeAt) : NOT_FOUND,
  proxy_set_shared_data: (at, size, dataAt, dataSize) => (world.shared.set(text(at, size), text(dataAt, dataSize)), OK),
  proxy_get_shared_data(at, size, dataAt, sizeAt, casAt) {
    const found = world.shared.get(text(at, size));
    return found === undefined ? NOT_FOUND : (put(casAt, 1), hand(Buffer.from(found), dataAt, sizeAt));
  },
  proxy_set_effective_context: (context) => (contexts.has(context) ? OK : BAD_ARGUMENT),
  proxy_send_local_response(status, _details, _detailsSize, at, size, headersAt) {
    world.replies.push({ status, body: text(at, size), headers: readPairs(headersAt) });
    return OK;
  },
  proxy_http_call(at, size, headersAt, _headersSize, bodyAt, bodySize, _trailersAt, _trailersSize, _timeout, tokenAt) {
    world.tokens = (world.tokens ?? 0) + 1;
    const headers = Object.fromEntries(readPairs(headersAt));
    world.calls.push({ token: world.tokens, cluster: text(at, size), headers, body: text(bodyAt, bodySize) });
    return put(tokenAt, world.tokens);
  },
  proxy_register_shared_queue: (_at, _size, idAt) => put(idAt, 77),
  proxy_enqueue_shared_queue: () => ((world.rings += 1), OK),
  proxy_dequeue_shared_queue: () => EMPTY,
  proxy_define_metric: (_kind, _at, _size, idAt) => put(idAt, (world.metrics += 1)),
};
const wasi = {
  random_get: (at, size) => (crypto.getRandomValues(new Uint8Array(wasm.memory.buffer, at, size)), 0),
  clock_time_get: (_id, _precision, at) => (view().setBigUint64(at, process.hrtime.bigint(), true), 0),
  proc_exit: (code) => assert.fail(`the module ended with ${code}`),
};
const named = (own) => new Proxy(own, { get: (functions, name) => functions[name] ?? (() => OK) });
wasm = (await WebAssembly.instantiate(module, { env: named(env), wasi_snapshot_preview1: named(wasi) })).exports;

function create(context, root) {
  contexts.add(context);
  wasm.proxy_on_context_create(context, root);
}
function configure(root, configuration) {
  world.configuration = configuration;
  assert.equal(wasm.proxy_on_configure(root, configuration.length), 1, "a refused configuration loses the filter");
}
function request(stream, root, method, path, extra, body) {
  create(stream, root);
  world.headers = [[":method", method], [":path", path], [":authority", "search.example"], ...extra];
  const step = wasm.proxy_on_request_headers(stream, world.headers.length, body === undefined ? 1 : 0);
  assert.equal(step, 1, "the request stays with the filter");
  if (body === undefined) return;
  world.body = body;
  assert.equal(wasm.proxy_on_request_body(stream, body.length, 1), 1);
}
function leave(stream) {
  assert.equal(wasm.proxy_on_done(stream), 1);
  wasm.proxy_on_log(stream);
  wasm.proxy_on_delete(stream);
  contexts.delete(stream);
}
function take(values) {
  return values.splice(0, values.length);
}

// A start without a map, then one with a map.
wasm._initialize();
create(1, 0);
assert.equal(wasm.proxy_on_vm_start(1, 0), 1);
configure(1, "no map at all");
request(10, 1, "GET", "/_miroir/filter", []);
assert.deepEqual(take(world.replies).map(({ status }) => status), [503]);
leave(10);
configure(1, firstMap);
assert(world.logs.some((line) => line.includes("epoch 7")), world.logs.join("\n"));

// Bytes that are no UTF-8 in a header must not end the worker.
request(10, 1, "GET", "/_miroir/filter", [["x-odd", Buffer.of(0xff, 0xfe)]]);
assert.deepEqual(take(world.replies).map(({ status, body }) => [status, body]), [[200, '{"epoch":7}']]);
leave(10);

// A new worker reads when control has no newer map.
wasm.proxy_on_tick(1);
const [heartbeat] = take(world.calls);
assert.equal(heartbeat.headers[":path"], "/internal/v1/heartbeat");
assert.equal(JSON.parse(heartbeat.body).envoy, "edge-1");
world.answer = '{"epoch":7}';
wasm.proxy_on_http_call_response(1, heartbeat.token, 1, world.answer.length, 0);

// A map of a later schema, as a newer control pushes it in a rolling upgrade: the worker goes on with the one that it has,
// and says so, so that control neither deletes copies nor shows tasks as done on its account.
const schema = Number(/"schema":(\d+)/.exec(secondMap)[1]);
configure(1, secondMap.replace(`"schema":${schema}`, `"schema":${schema + 1}`));
request(10, 1, "GET", "/_miroir/filter", []);
assert.deepEqual(take(world.replies).map(({ status, body }) => [status, body]), [[200, '{"epoch":7}']]);
leave(10);
wasm.proxy_on_tick(1);
const [refusal] = take(world.calls).map(({ body }) => JSON.parse(body));
assert.deepEqual([refusal.epoch, refusal.oldest_epoch], [7, 7]);
assert.equal(refusal.rejected, `shard map has schema ${schema + 1}, this build reads ${schema}`);
wasm.proxy_on_http_call_response(1, world.tokens, 1, world.answer.length, 0);

// A read calls nodes at once; a write calls control, from the root's callback.
const json = (body) => [["content-type", "application/json"], ["content-length", `${body.length}`]];
const query = '{"q":"a"}';
const documents = '[{"id":1},{"id":2}]';
request(11, 1, "POST", "/indexes/m/search", json(query), query);
const reads = take(world.calls);
assert(reads.length > 0 && reads.every(({ cluster }) => /^n[01]$/.test(cluster)), JSON.stringify(reads));
request(12, 1, "POST", "/indexes/m/documents", json(documents), documents);
assert.deepEqual([world.calls.length, world.rings], [0, 1]);
wasm.proxy_on_queue_ready(1, 77);
const [begin] = take(world.calls);
assert.deepEqual([begin.cluster, begin.headers[":path"]], ["internal", "/internal/v1/begin"]);

// Clients leave and calls break off: the read's is dropped, the write ends by the root, which was replaced meanwhile.
leave(11);
leave(12);
create(2, 0);
configure(2, secondMap);
assert.equal(wasm.proxy_on_done(1), 0, "the old root has calls in flight");
for (const { token } of [...reads, begin]) wasm.proxy_on_http_call_response(1, token, 0, 0, 0);
assert.deepEqual(take(world.calls).map(({ headers }) => headers[":path"]), ["/internal/v1/abort"]);
wasm.proxy_on_tick(2);
assert.deepEqual(take(world.calls).map(({ headers }) => headers[":path"]), ["/internal/v1/heartbeat"]);
assert.deepEqual(world.replies, []);
console.log(`ABI 0.2.1: ${imports.length} imports, ${exported.length} exports, ${bytes.length} bytes`);
