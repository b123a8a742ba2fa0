#include <levin/framework/plots/matrix_plot.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include <levin/framework/core/terminal.h>
#include <levin/framework/plots/plot_frame.h>
#include <levin/framework/plots/svg.h>

namespace levin {
namespace {

constexpr int kMatrixWidth = 640;
constexpr double kMatrixEdge = 28.0;  // of the drawing, at its left
constexpr double kMatrixTitle = 40.0;
constexpr double kMatrixHeadings = 60.0;
constexpr double kMatrixName = 22.0;  // a line of it
constexpr double kNameLetter = 10.5;  // of text that has grown
constexpr double kMatrixFoot = 30.0;
constexpr size_t kMostWritten = 20;
constexpr double kGrownLetter = 11.5;
constexpr size_t kMostNamed = 40;
/// How opaque the colour of a whole row's cell is, so that text in it can still be read.
constexpr double kOpacity = 0.55;

/// How matrices of a picture are arranged: in pixels, except for the numbers of matrices and
/// letters.
struct MatrixLayout {
  size_t across = 1;
  double panel = 612.0;  // from the left edge of one matrix to that of the next
  double names = 100.0;  // the part of it for the names of the classes
  double side = 488.0;   // of a matrix
  int letters = 10;      // the most of a class's name
};

constexpr MatrixLayout kTwoAcross = {
    .across = 2, .panel = 304.0, .names = 84.0, .side = 200.0, .letters = 7};

std::string short_class(const std::string& name, const MatrixLayout& layout) {
  return text_columns(name) <= layout.letters ? name
                                              : cut_to_columns(name, layout.letters - 2) + "..";
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

double cell_side(const ConfusionPlot& matrix, const MatrixLayout& layout) {
  return layout.side / static_cast<double>(std::max<size_t>(matrix.counts.size(), 1));
}

/// Whether the counts of all matrices fit into their cells when the text of a small page has grown.
bool counts_fit(const std::vector<ConfusionPlot>& matrices, const MatrixLayout& layout) {
  for (const auto& matrix : matrices) {
    size_t longest = 1;
    for (const auto& row : matrix.counts) {
      for (const double count : row) longest = std::max(longest, cell_text(count).size());
    }
    if (cell_side(matrix, layout) < kGrownLetter * static_cast<double>(longest)) return false;
  }
  return true;
}

/// What is written above a matrix.
std::vector<std::string> name_lines(const ConfusionPlot& matrix, const MatrixLayout& layout) {
  if (matrix.name.empty()) return {};
  return svg::wrapped(matrix.name, static_cast<int>((layout.names + layout.side) / kNameLetter));
}

/// Draws a matrix whose first cell is at (left, top), with the names of its classes.
std::string draw_matrix(const ConfusionPlot& matrix, const MatrixLayout& layout, double left,
                        double top) {
  const size_t classes = matrix.counts.size();
  const double side = cell_side(matrix, layout);
  const int size = classes <= 10 ? 14 : 11;
  std::string out = svg::text(left + layout.side / 2.0, top - 40.0, "predicted class", "middle");
  out += svg::text(left - layout.names, top - 12.0, "class", "start");
  const auto name_of = [&](size_t i) {
    return i < matrix.class_names.size() ? matrix.class_names[i] : std::to_string(i);
  };
  for (size_t i = 0; i < classes; ++i) {
    const auto& counts = matrix.counts[i];
    const double y = top + side * static_cast<double>(i);
    const double rows = std::accumulate(counts.begin(), counts.end(), 0.0);
    if (classes <= kMostNamed) {
      const std::string name = short_class(name_of(i), layout);
      const double across = left + side * (static_cast<double>(i) + 0.5);
      out += svg::text(left - 8.0, y + side / 2.0 + 4.5, name, "end", "text", size);
      const bool fits = side >= kNameLetter * text_columns(name);
      out +=
          svg::text(across, top - (!fits && i % 2 == 1 ? 22.0 : 8.0), name, "middle", "text", size);
    }
    for (size_t j = 0; j < counts.size(); ++j) {
      const double x = left + side * static_cast<double>(j);
      out += draw_cell(x, y, side, name_of(i), name_of(j), counts[j], rows, i == j);
      if (classes > kMostWritten || counts[j] == 0.0) continue;
      out += svg::text(x + side / 2.0, y + side / 2.0 + 5.0, cell_text(counts[j]), "middle", "text",
                       size);
    }
  }
  return out + fmt::format(
                   "<rect class=\"axis\" fill=\"none\" x=\"{0}\" y=\"{1}\" width=\"{2}\" "
                   "height=\"{2}\"/>\n",
                   left, top, layout.side);
}

}  // namespace

std::string draw_confusion_matrix(std::string_view title, const std::vector<std::string>& names,
                                  const std::vector<std::vector<double>>& counts, bool with_style) {
  return draw_confusion_matrices(title, {{.class_names = names, .counts = counts}}, with_style);
}

std::string draw_confusion_matrices(std::string_view title,
                                    const std::vector<ConfusionPlot>& matrices, bool with_style) {
  const bool is_narrow = matrices.size() > 1 && counts_fit(matrices, kTwoAcross);
  const MatrixLayout layout = is_narrow ? kTwoAcross : MatrixLayout();
  size_t most_lines = 0;
  for (const auto& matrix : matrices) {
    most_lines = std::max(most_lines, name_lines(matrix, layout).size());
  }
  const double name = kMatrixName * static_cast<double>(most_lines);
  const double height = name + kMatrixHeadings + layout.side + kMatrixFoot;
  const size_t lines = (matrices.size() + layout.across - 1) / layout.across;
  std::string out =
      svg::begin(kMatrixWidth, static_cast<int>(kMatrixTitle + height * static_cast<double>(lines)),
                 title, with_style, counts_fit(matrices, layout)) +
      draw_title(title);
  for (size_t i = 0; i < matrices.size(); ++i) {
    const double left = kMatrixEdge + layout.panel * static_cast<double>(i % layout.across);
    const double top = kMatrixTitle + height * static_cast<double>(i / layout.across);
    double line_top = top;
    for (const auto& line : name_lines(matrices[i], layout)) {
      out += svg::text(left, line_top + 18.0, line, "start", "text", 15);
      line_top += kMatrixName;
    }
    out += draw_matrix(matrices[i], layout, left + layout.names, top + name + kMatrixHeadings);
  }
  return out.append(svg::end());
}

}  // namespace levin
