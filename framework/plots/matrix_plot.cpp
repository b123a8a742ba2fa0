#include <levin/framework/plots/matrix_plot.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include <levin/framework/plots/plot_frame.h>
#include <levin/framework/plots/svg.h>

namespace levin {
namespace {

constexpr int kMatrixWidth = 640;
constexpr double kMatrixLeft = 128.0;
constexpr double kMatrixSide = 488.0;
constexpr double kMatrixTop = 100.0;
constexpr size_t kMostWritten = 20;
constexpr double kGrownLetter = 11.5;
constexpr size_t kMostNamed = 40;
constexpr size_t kLongestName = 10;
/// How opaque the colour of a whole row's cell is, so that text in it can still be read.
constexpr double kOpacity = 0.55;

std::string short_class(const std::string& name) {
  return name.size() <= kLongestName ? name : name.substr(0, kLongestName - 2) + "..";
}

/// What is written in a cell: a count has no commas, which would take the place of digits.
std::string cell_text(double count) {
  return count == std::floor(count) ? fmt::format("{:.0f}", count) : fmt::format("{:.3g}", count);
}

std::string draw_cell(double x, double y, double side, const std::string& target,
                      const std::string& predicted, double count, double rows, bool is_right) {
  const double share = rows > 0.0 ? count / rows : 0.0;
  return fmt::format(
      "<rect class=\"{}\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" "
      "fill-opacity=\"{:.3f}\"><title>{} predicted as {}: {} of {}</title></rect>\n",
      is_right ? "d0" : "d3", x, y, side, side, kOpacity * std::sqrt(share), svg::escaped(target),
      svg::escaped(predicted), svg::number(count), svg::number(rows));
}

}  // namespace

std::string draw_confusion_matrix(std::string_view title, const std::vector<std::string>& names,
                                  const std::vector<std::vector<double>>& counts, bool with_style) {
  const size_t classes = counts.size();
  const double side = kMatrixSide / static_cast<double>(std::max<size_t>(classes, 1));
  const bool is_written = classes <= kMostWritten;
  size_t longest = 1;
  for (const auto& row : counts) {
    for (const double count : row) longest = std::max(longest, cell_text(count).size());
  }
  const int size = classes <= 10 ? 14 : 11;
  std::string out = svg::begin(kMatrixWidth, static_cast<int>(kMatrixTop + kMatrixSide) + 30, title,
                               with_style, side >= kGrownLetter * static_cast<double>(longest)) +
                    draw_title(title);
  out += svg::text(kMatrixLeft + kMatrixSide / 2.0, 60.0, "predicted class", "middle");
  out += svg::text(28.0, kMatrixTop - 12.0, "class", "start");
  const auto name_of = [&](size_t i) { return i < names.size() ? names[i] : std::to_string(i); };
  for (size_t i = 0; i < classes; ++i) {
    const double y = kMatrixTop + side * static_cast<double>(i);
    const double rows = std::accumulate(counts[i].begin(), counts[i].end(), 0.0);
    if (classes <= kMostNamed) {
      const double across = kMatrixLeft + side * (static_cast<double>(i) + 0.5);
      out += svg::text(kMatrixLeft - 8.0, y + side / 2.0 + 4.5, short_class(name_of(i)), "end",
                       "text", size);
      const bool fits = side >= 8.0 * static_cast<double>(short_class(name_of(i)).size());
      const double up = !fits && i % 2 == 1 ? 22.0 : 8.0;
      out += svg::text(across, kMatrixTop - up, short_class(name_of(i)), "middle", "text", size);
    }
    for (size_t j = 0; j < counts[i].size(); ++j) {
      const double x = kMatrixLeft + side * static_cast<double>(j);
      out += draw_cell(x, y, side, name_of(i), name_of(j), counts[i][j], rows, i == j);
      if (!is_written || counts[i][j] == 0.0) continue;
      out += svg::text(x + side / 2.0, y + side / 2.0 + 5.0, cell_text(counts[i][j]), "middle",
                       "text", size);
    }
  }
  out += fmt::format(
      "<rect class=\"axis\" fill=\"none\" x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{2}\"/>\n",
      kMatrixLeft, kMatrixTop, kMatrixSide);
  return out.append(svg::end());
}

}  // namespace levin
