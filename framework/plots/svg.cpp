#include <levin/framework/plots/svg.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/terminal.h>
#include <levin/framework/core/utf8.h>

namespace levin::svg {

std::string_view style() {
  return R"(<style>
text { font-family: system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; }
.page { fill: #ffffff; } .text { fill: #222222; } .faint { fill: #5f6368; }
.grid { stroke: #e3e6e9; } .axis { stroke: #5f6368; } .mark { stroke: #5f6368; }
.c0 { stroke: #0072b2; } .c1 { stroke: #009e73; } .c2 { stroke: #b87a00; } .c3 { stroke: #d55e00; }
.c4 { stroke: #a8447f; } .c5 { stroke: #2f97cf; } .c6 { stroke: #4d4d4d; }
.d0 { fill: #0072b2; } .d1 { fill: #009e73; } .d2 { fill: #b87a00; } .d3 { fill: #d55e00; }
.d4 { fill: #a8447f; } .d5 { fill: #2f97cf; } .d6 { fill: #4d4d4d; }
@media (max-width: 480px) { .grows text { font-size: 20px; } }
@media (prefers-color-scheme: dark) {
.page { fill: #16181b; } .text { fill: #e8eaed; } .faint { fill: #a5abb2; }
.grid { stroke: #2d3136; } .axis { stroke: #a5abb2; } .mark { stroke: #a5abb2; }
.c0 { stroke: #56b4e9; } .c1 { stroke: #2fc49a; } .c2 { stroke: #e6b13c; } .c3 { stroke: #ff8a4c; }
.c4 { stroke: #e08cbf; } .c5 { stroke: #9bd3f2; } .c6 { stroke: #c8ccd0; }
.d0 { fill: #56b4e9; } .d1 { fill: #2fc49a; } .d2 { fill: #e6b13c; } .d3 { fill: #ff8a4c; }
.d4 { fill: #e08cbf; } .d5 { fill: #9bd3f2; } .d6 { fill: #c8ccd0; }
}
</style>
)";
}

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char each = text.front();
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (each == '&') {
      out += "&amp;";
    } else if (each == '<') {
      out += "&lt;";
    } else if (each == '>') {
      out += "&gt;";
    } else if (each == '"') {
      out += "&quot;";
    } else if (static_cast<unsigned char>(each) < 0x20) {
      out += ' ';
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::vector<std::string> wrapped(std::string_view text, int columns) {
  std::vector<std::string> lines;
  while (text_columns(text) > columns) {
    size_t end = cut_to_columns(text, columns).size();
    const size_t space = text.rfind(' ', end);
    const bool has_space = space != std::string_view::npos && space > 0;
    if (has_space) end = space;
    lines.emplace_back(text.substr(0, std::max<size_t>(end, 1)));
    text.remove_prefix(lines.back().size() + (has_space ? 1 : 0));
  }
  lines.emplace_back(text);
  return lines;
}

std::string number(double value) {
  if (!(std::abs(value) >= 1000.0 && std::abs(value) < 1e9)) return fmt::format("{:g}", value);
  const std::string digits = fmt::format("{:.0f}", std::abs(value));
  std::string out = value < 0.0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string text(double x, double y, std::string_view content, std::string_view anchor,
                 std::string_view style, int size) {
  return fmt::format(
      "<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" "
      "text-anchor=\"{}\">{}</text>\n",
      style, x, y, size, anchor, escaped(content));
}

std::string line(double x1, double y1, double x2, double y2, std::string_view style,
                 std::string_view more) {
  return fmt::format(
      "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"{}/>\n", style, x1,
      y1, x2, y2, more);
}

double nice_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= least) return factor * power;
  }
  return 10.0 * power;
}

std::string begin(int width, int height, std::string_view title, bool with_style, bool grows_text) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\"{4} style=\"max-width: 100%; height: auto\">\n"
      "<title>{2}</title>\n{3}<rect class=\"page\" width=\"{0}\" height=\"{1}\"/>\n",
      width, height, escaped(title), with_style ? style() : std::string_view(),
      grows_text ? " class=\"grows\"" : "");
}

std::string_view end() { return "</svg>\n"; }

}  // namespace levin::svg
