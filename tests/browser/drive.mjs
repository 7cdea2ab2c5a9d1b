// Uses the page as a person would, in a real browser, and compares what it shows with what the cluster answers to
// requests of our own. From the environment: MIROIR_URL, MIROIR_SEARCH_KEY, MIROIR_CHROMIUM (the browser),
// MIROIR_BROWSER_MODULES (the folder with the packages) and, if one is wanted, MIROIR_SCREENSHOT (a file).
import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { createRequire } from "node:module";
import { serve } from "./serve.mjs";

const { MIROIR_URL, MIROIR_SEARCH_KEY, MIROIR_CHROMIUM, MIROIR_BROWSER_MODULES, MIROIR_SCREENSHOT } = process.env;
const { chromium } = createRequire(`${MIROIR_BROWSER_MODULES}/`)("playwright-core");
const PER_PAGE = 8;

/** An answer of the cluster to a request that does not come from the page. */
async function ask(path, body) {
  const headers = { authorization: `Bearer ${MIROIR_SEARCH_KEY}`, "content-type": "application/json" };
  const answer = await fetch(`${MIROIR_URL}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  equal(answer.status, 200, path);
  return answer.json();
}

const films = (body) => ask("/indexes/films/search", { hitsPerPage: PER_PAGE, page: 1, ...body });

/** What the page shows. */
function shown() {
  const texts = (selector, within = document) => [...within.querySelectorAll(selector)].map((one) => one.textContent);
  const counts = (list) =>
    Object.fromEntries(
      [...document.querySelectorAll(`${list} .ais-RefinementList-item`)].map((item) => [
        texts(".ais-RefinementList-labelText", item)[0],
        Number(texts(".ais-RefinementList-count", item)[0].replaceAll(",", "")),
      ]),
    );
  return {
    total: Number.parseInt(texts("#total")[0], 10),
    ids: [...document.querySelectorAll("article")].map((article) => Number(article.dataset.id)),
    titles: texts("article .title"),
    ratings: texts("article .about").map((about) => Number(about.split(" · ").at(-1))),
    marked: [...document.querySelectorAll("article .title")].map((title) => texts("mark", title)),
    genres: counts("#genres"),
    directors: counts("#directors"),
  };
}

/** Waits until the page shows the answer to this; resolves to what it shows. */
async function settled(page, { query = "", at = 0, index = "films", genres = [] }) {
  const state = JSON.stringify({ query, page: at, index, genres });
  await page.waitForFunction((wanted) => document.body.dataset.shown === wanted, state);
  return page.evaluate(shown);
}

/** The values that a list may show of a facet are its most frequent ones. */
function sameCounts(list, answer, facet, what) {
  const all = answer.facetDistribution[facet];
  ok(Object.keys(list).length > 0, `${what}: no values of ${facet}`);
  for (const [value, count] of Object.entries(list)) equal(count, all[value], `${what}: ${facet} ${value}`);
  const most = Object.values(all).sort((one, other) => other - one);
  deepEqual(Object.values(list).sort((one, other) => other - one), most.slice(0, Object.keys(list).length), what);
}

const site = await serve(MIROIR_BROWSER_MODULES);
const browser = await chromium.launch({ executablePath: MIROIR_CHROMIUM });
try {
  notEqual(site.origin, new URL(MIROIR_URL).origin);
  const page = await browser.newPage({ viewport: { width: 980, height: 620 } });
  page.setDefaultTimeout(60_000);
  const trouble = [];
  page.on("console", (said) => ["error", "warning"].includes(said.type()) && trouble.push(said.text()));
  page.on("pageerror", (error) => trouble.push(String(error)));
  page.on("requestfailed", (request) => trouble.push(`${request.url()}: ${request.failure().errorText}`));
  page.on("response", (answer) => answer.ok() || trouble.push(`${answer.url()}: ${answer.status()}`));
  const network = await page.context().newCDPSession(page);
  const preflights = new Set();
  network.on("Network.requestWillBeSent", ({ request }) => request.method === "OPTIONS" && preflights.add(request.url));
  await network.send("Network.enable");
  let asked;
  page.on("request", (request) => {
    if (request.url() === `${MIROIR_URL}/multi-search` && request.method() === "POST") asked = request.postDataJSON();
  });

  /**
   * The page's hits must be those of its own last request, asked again: the same scores at the same places, and each
   * with its title and marks. Hits that rank alike may come in any order, as they do on other replicas.
   */
  async function sameHits(seen, what) {
    const query = asked.queries[0];
    const all = { ...query, page: 1, hitsPerPage: 4000, showRankingScore: true, facets: [] };
    Object.assign(all, { attributesToRetrieve: ["id", "Title"], attributesToHighlight: query.q ? ["Title"] : [] });
    const { hits } = (await ask("/multi-search", { queries: [all] })).results[0];
    const byId = new Map(hits.map((hit) => [hit.id, hit]));
    equal(new Set(seen.ids).size, seen.ids.length, what);
    const from = (query.page - 1) * PER_PAGE;
    const scores = (some) => some.map((hit) => hit._rankingScore);
    deepEqual(scores(seen.ids.map((id) => byId.get(id))), scores(hits.slice(from, from + PER_PAGE)), what);
    const marks = (text) => [...text.matchAll(/__ais-highlight__(.*?)__\/ais-highlight__/g)].map((match) => match[1]);
    seen.ids.forEach((id, at) => {
      equal(seen.titles[at], byId.get(id).Title, what);
      deepEqual(seen.marked[at], marks(byId.get(id)._formatted?.Title ?? ""), what);
    });
  }

  await page.goto(`${site.origin}/?${new URLSearchParams({ url: MIROIR_URL, key: MIROIR_SEARCH_KEY })}`);
  const facets = ["Major Genre", "Director"];

  let seen = await settled(page, {});
  let answer = await films({ facets });
  equal(seen.total, answer.totalHits);
  equal(seen.ids.length, PER_PAGE);
  sameCounts(seen.genres, answer, "Major Genre", "all films");
  sameCounts(seen.directors, answer, "Director", "all films");
  await sameHits(seen, "all films");
  console.log(`all films: ${seen.total}`);

  const typed = "harry poter";
  await page.locator("input[type=search]").pressSequentially(typed, { delay: 100 });
  seen = await settled(page, { query: typed });
  answer = await films({ q: typed, facets });
  ok(answer.totalHits > 0 && answer.totalHits < 500, `${typed}: ${answer.totalHits}`);
  equal(seen.total, answer.totalHits);
  sameCounts(seen.genres, answer, "Major Genre", typed);
  await sameHits(seen, typed);
  ok(seen.titles[0].startsWith("Harry Potter"), seen.titles[0]);
  // The last word is taken for the beginning of one, with its typo.
  equal(seen.marked[0].slice(0, 2).join(" "), "Harry Potte");
  console.log(`${typed}: ${seen.total}, first ${seen.titles[0]}`);
  if (MIROIR_SCREENSHOT) await page.screenshot({ path: MIROIR_SCREENSHOT });

  const genre = "Adventure";
  await page.locator("#genres").getByText(genre, { exact: true }).click();
  seen = await settled(page, { query: typed, genres: [genre] });
  answer = await films({ q: typed, filter: `"Major Genre" = "${genre}"`, facets });
  ok(answer.totalHits > 0, `${typed}, ${genre}: none`);
  equal(seen.total, answer.totalHits);
  equal(seen.genres[genre], answer.totalHits);
  sameCounts(seen.directors, answer, "Director", genre);
  // Other genres are counted as if none were chosen.
  sameCounts(seen.genres, await films({ q: typed, facets }), "Major Genre", genre);
  await sameHits(seen, genre);
  console.log(`${typed}, ${genre}: ${seen.total}`);

  await page.locator("input[type=search]").fill("");
  const first = await settled(page, { genres: [genre] });
  answer = await films({ filter: `"Major Genre" = "${genre}"` });
  equal(first.total, answer.totalHits);
  ok(answer.totalPages > 3, `${genre} has ${answer.totalPages} pages`);
  await sameHits(first, `${genre}, page 1`);
  await page.locator("#pages").getByText("2", { exact: true }).click();
  seen = await settled(page, { at: 1, genres: [genre] });
  equal(seen.total, first.total);
  equal(seen.ids.filter((id) => first.ids.includes(id)).length, 0);
  await sameHits(seen, `${genre}, page 2`);
  await page.locator(".ais-Pagination-item--lastPage a").click();
  seen = await settled(page, { at: answer.totalPages - 1, genres: [genre] });
  equal(seen.ids.length, first.total - PER_PAGE * (answer.totalPages - 1));
  await sameHits(seen, `${genre}, last page`);
  console.log(`${genre}: ${first.total} on ${answer.totalPages} pages`);

  await page.locator("#genres").getByText(genre, { exact: true }).click();
  await settled(page, {});
  const byRating = "films:IMDB Rating:desc";
  await page.locator("#sort select").selectOption(byRating);
  seen = await settled(page, { index: byRating });
  answer = await films({ sort: ["IMDB Rating:desc"] });
  deepEqual(seen.ratings, answer.hits.map((hit) => hit["IMDB Rating"]));
  ok(seen.ratings.every((rating, at) => at === 0 || rating <= seen.ratings[at - 1]), String(seen.ratings));
  await sameHits(seen, "by rating");
  console.log(`by rating: first ${seen.titles[0]}`);

  ok(preflights.has(`${MIROIR_URL}/multi-search`), "the browser asked for no leave to search another origin");
  deepEqual(trouble, []);
} finally {
  await browser.close();
  site.close();
}
