#pragma once

#include <string>
#include <string_view>
#include <vector>

/// The parts of HTML pages that show results: one file each, without scripts, which loads nothing.
/// Texts are escaped here, so callers pass them as they are.
namespace levin::html {

/// The beginning of a page, from the doctype to its heading <h1>, with the rules that the functions
/// below and drawings (svg.h) need. They suit light and dark backgrounds, narrow windows and paper.
/// `style` are further rules.
std::string begin_page(std::string_view title, std::string_view style = {});
/// Its end.
std::string_view end_page();

/// A heading <h2> with an `id` to which links of the same page can lead.
std::string heading(std::string_view text, std::string_view id = {});
/// A paragraph.
std::string paragraph(std::string_view text);

/// A table of texts.
struct Table {
  /// What the table shows. Screen readers say it; it isn't visible.
  std::string caption{};
  std::vector<std::string> header{};
  /// Each has as many cells as the header.
  std::vector<std::vector<std::string>> rows{};
  /// The columns whose cells are numbers, aligned to the right.
  std::vector<size_t> number_columns{};
  /// Whether the first cell of each row is the row's name.
  bool has_row_names = true;
};

/// The table, in a box of its own that scrolls if the window is too narrow.
std::string table(const Table& table);

/// A box that scrolls sideways around HTML, such as a drawing. `label` says what is in it.
std::string scroll_box(std::string_view label, std::string_view html);

/// HTML that a reader has to open first by clicking on `summary`.
std::string folded(std::string_view summary, std::string_view html);

}  // namespace levin::html
