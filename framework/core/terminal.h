#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

namespace levin {

/// What a stream that people look at can show. The members of a file or pipe are all false.
struct Terminal {
  bool live = false;     // lines can be updated in place
  bool color = false;    // it understands the codes for colors
  bool unicode = false;  // it shows UTF-8; otherwise ASCII alone
  int width = 0;         // in columns; 0: ask the terminal
};

/// Returns the value of an environment variable, or null if it isn't set.
using Environment = std::function<const char*(const char* name)>;

/// Returns what `out` can show, as the environment says:
///
/// - Lines are updated in place on a terminal, unless it calls itself "dumb" (TERM), or the
/// variable
///   CI says that a log is written, which people read later.
/// - There are colors wherever lines are updated in place, and in files if CLICOLOR_FORCE is
/// neither
///   empty nor "0". NO_COLOR, if it isn't empty, and CLICOLOR=0 switch them off
///   (https://no-color.org, https://bixense.com/clicolors).
/// - UTF-8 is what the locale says (LC_ALL, LC_CTYPE, LANG).
Terminal terminal_of(std::FILE* out);
Terminal terminal_of(std::FILE* out, const Environment& environment);

/// The number of columns of the terminal `out`; 80 if it isn't known.
int terminal_columns(std::FILE* out);

/// The colors that Levin uses, of the 16 that every theme defines, light or dark.
enum class Color { bold, red, green, yellow, cyan, magenta };

/// Returns the text in a color, or the text alone if `on` is false or the text is empty.
std::string painted(std::string_view text, Color color, bool on);

/// Returns a bar of `columns` columns, whose ends count too, of which the part `share` (0 to 1) is
/// filled: "|#####     |". With terminal.unicode it is drawn in eighths of a column.
std::string bar_text(double share, int columns, Color color, const Terminal& terminal);

/// The number of columns that a UTF-8 text without newlines takes on a terminal: two for a
/// character of Chinese, Japanese or Korean and for an emoji, none for colors and for accents that
/// are put onto the character before.
int text_columns(std::string_view text);

/// Returns the beginning of a UTF-8 text that takes at most `columns` columns. If colors were on
/// where it is cut, they are switched off at its end.
std::string cut_to_columns(std::string_view text, int columns);

}  // namespace levin
