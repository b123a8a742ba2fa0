#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace levin::svg {

/// How many colours there are: the classes c0 to c6 and d0 to d6.
constexpr size_t kColours = 7;

/// Rules for the classes that the functions below and drawings use: page, text, faint, grid, axis,
/// mark; c0 to c6 for lines and d0 to d6 for areas in colours that colour-blind people can tell
/// apart. They suit a light and a dark background. An SVG document has them once.
std::string_view style();

/// Text for a document, with its special characters escaped; control characters become spaces, and
/// bytes that aren't UTF-8 the character U+FFFD.
std::string escaped(std::string_view text);

/// The lines of a text of which none is wider than `columns` letters (`text_columns`). It is cut at
/// spaces, and within a word only if that alone is wider.
std::vector<std::string> wrapped(std::string_view text, int columns);

/// A number as an axis has it: "12,500", "0.5".
std::string number(double value);

/// A line of text. `anchor` is start, middle or end.
std::string text(double x, double y, std::string_view content, std::string_view anchor,
                 std::string_view style = "text", int size = 13);

/// A line; `more` are further attributes, with a space in front.
std::string line(double x1, double y1, double x2, double y2, std::string_view style,
                 std::string_view more = "");

/// The smallest of 1, 2, 2.5, 5, 10 ... that is at least `least`, a distance of grid lines.
double nice_step(double least);

/// The beginning of a drawing, with its background. Without `with_style`, it has no rules of its
/// own, because the page that it is part of has them. A page that is narrower than the drawing
/// shows it smaller. With `grows_text`, a page of less than 480 pixels shows all text in 20 units
/// of the drawing, which therefore must leave room for it.
std::string begin(int width, int height, std::string_view title, bool with_style = true,
                  bool grows_text = false);
/// Its end.
std::string_view end();

}  // namespace levin::svg
