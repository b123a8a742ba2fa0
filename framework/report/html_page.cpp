#include <levin/framework/report/html_page.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/plots/svg.h>

namespace levin::html {
namespace {

/// A cell with a longer word, such as a checksum, breaks it if the window is narrow.
constexpr size_t kLongWord = 24;

constexpr std::string_view kPageRules = R"(<style>
:root { color-scheme: light dark; --text: #222222; --faint: #5f6368; --page: #ffffff;
  --line: #e3e6e9; --box: #f5f7f9; --link: #0060a0; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e8eaed; --faint: #a5abb2; --page: #16181b;
  --line: #2d3136; --box: #1f2226; --link: #7cc4f5; --bad: #f5958d; } }
body { font: 15px/1.5 system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
  max-width: 960px; margin: 24px auto; padding: 0 16px; color: var(--text);
  background: var(--page); overflow-wrap: anywhere; }
h1 { font-size: 24px; line-height: 1.25; margin-bottom: 8px; }
h2 { font-size: 19px; margin: 36px 0 8px; } h3 { font-size: 15px; margin: 20px 0 6px; }
a { color: var(--link); } code { font-family: ui-monospace, Menlo, Consolas, monospace;
  font-size: 0.93em; }
.scroll { overflow-x: auto; } .scroll:focus-visible, summary:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px; }
.scroll svg { max-width: 100%; height: auto; } .scroll + .scroll { margin-top: 16px; }
table { border-collapse: collapse; font-size: 13px; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: 4px 12px 4px 0; text-align: left;
  vertical-align: top; overflow-wrap: normal; }
thead th, .number { white-space: nowrap; } tbody th { font-weight: normal; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
summary { cursor: pointer; margin: 8px 0; }
@media (max-width: 600px) { tbody th { min-width: 6em; }
  .long { overflow-wrap: anywhere; min-width: 11em; } }
@media print { body { max-width: none; margin: 0; } .scroll { overflow: visible; }
  h2, h3 { break-after: avoid; } tr, svg { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; } }
</style>
)";

bool has_long_word(std::string_view text) {
  while (text.size() > kLongWord) {
    const size_t end = text.find(' ');
    if (std::min(end, text.size()) > kLongWord) return true;
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace

std::string begin_page(std::string_view title, std::string_view style) {
  const std::string shown = svg::escaped(title);
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n{1}{2}{3}</head>\n<body>\n<main>\n<h1>{0}</h1>\n",
      shown, kPageRules, svg::style(), style);
}

std::string_view end_page() { return "</main>\n</body>\n</html>\n"; }

std::string heading(std::string_view text, std::string_view id) {
  if (id.empty()) return fmt::format("<h2>{}</h2>\n", svg::escaped(text));
  return fmt::format("<h2 id=\"{}\">{}</h2>\n", svg::escaped(id), svg::escaped(text));
}

std::string paragraph(std::string_view text) {
  return fmt::format("<p>{}</p>\n", svg::escaped(text));
}

std::string table(const Table& table) {
  const auto is_number = [&](size_t column) {
    const auto& numbers = table.number_columns;
    return std::find(numbers.begin(), numbers.end(), column) != numbers.end();
  };
  std::string out =
      fmt::format("<table>\n<caption>{}</caption>\n<thead><tr>", svg::escaped(table.caption));
  for (size_t i = 0; i < table.header.size(); ++i) {
    out += fmt::format("<th scope=\"col\"{}>{}</th>", is_number(i) ? " class=\"number\"" : "",
                       svg::escaped(table.header[i]));
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      const bool is_name = i == 0 && table.has_row_names;
      const char* kind = is_number(i)            ? " class=\"number\""
                         : has_long_word(row[i]) ? " class=\"long\""
                                                 : "";
      out += fmt::format("<{0}{1}{2}>{3}</{0}>", is_name ? "th" : "td",
                         is_name ? " scope=\"row\"" : "", kind, svg::escaped(row[i]));
    }
    out += "</tr>\n";
  }
  return scroll_box(table.caption, out + "</tbody>\n</table>\n");
}

std::string scroll_box(std::string_view label, std::string_view html) {
  return fmt::format(
      "<div class=\"scroll\" role=\"group\" aria-label=\"{}\" tabindex=\"0\">\n{}</div>\n",
      svg::escaped(label), html);
}

std::string folded(std::string_view summary, std::string_view html) {
  return fmt::format("<details>\n<summary>{}</summary>\n{}</details>\n", svg::escaped(summary),
                     html);
}

}  // namespace levin::html
