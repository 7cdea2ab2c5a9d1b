// A search page as its makers' guides have it. Where to search, and with which key, the address says.
import { instantMeiliSearch } from "@meilisearch/instant-meilisearch";

const { url, key } = Object.fromEntries(new URLSearchParams(location.search));
const { searchClient } = instantMeiliSearch(url, key, { primaryKey: "id", finitePagination: true });
const { widgets } = instantsearch;
const search = instantsearch({ indexName: "films", searchClient });

const film = (hit, { html, components }) => html`
  <article data-id="${hit.id}">
    <div class="title">${components.Highlight({ hit, attribute: "Title" })}</div>
    <div class="about">${[hit.Director, hit["Major Genre"], hit["IMDB Rating"]].filter(Boolean).join(" · ")}</div>
  </article>
`;

search.addWidgets([
  widgets.searchBox({ container: "#searchbox", placeholder: "3,201 films" }),
  widgets.sortBy({
    container: "#sort",
    items: [
      { value: "films", label: "Best match" },
      { value: "films:IMDB Rating:desc", label: "Rating" },
    ],
  }),
  widgets.refinementList({ container: "#genres", attribute: "Major Genre", limit: 12 }),
  widgets.refinementList({ container: "#directors", attribute: "Director", limit: 6 }),
  widgets.stats({ container: "#total", templates: { text: ({ nbHits }) => `${nbHits} films` } }),
  widgets.hits({ container: "#hits", templates: { item: film } }),
  widgets.pagination({ container: "#pages", padding: 2 }),
  widgets.configure({ hitsPerPage: 8 }),
]);

// What is shown now, for those who wait for it.
search.on("render", () => {
  const { query = "", page = 0, index } = search.helper.lastResults?._state ?? {};
  const genres = search.helper.lastResults?._state.disjunctiveFacetsRefinements?.["Major Genre"] ?? [];
  if (search.status === "idle") document.body.dataset.shown = JSON.stringify({ query, page, index, genres });
});
search.start();
