#include <levin/framework/core/live_lines.h>

#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/live_region.h>

namespace levin {

int LiveLines::columns() const {
  if (!is_live()) return 0;
  return (terminal_.width > 0 ? terminal_.width : terminal_columns(out_)) - 1;
}

void LiveLines::write(std::vector<std::string> lines) {
  if (!is_live()) {
    for (const auto& line : lines) diagnostics::print(out_, line + '\n');
    return;
  }
  lines_ = std::move(lines);
  draw();
}

/// Overwrites what is there and then clears the rest of each line, instead of clearing first.
void LiveLines::draw() {
  const int most = columns();
  std::string frame = "\r";
  for (size_t i = 0; i < lines_.size(); ++i) {
    if (i > 0) frame += '\n';
    frame += cut_to_columns(lines_[i], most) + "\x1b[K";
  }
  frame += "\x1b[J";  // lines below, of which there were more before, or into which it was wrapped
  if (lines_.size() > 1) frame += fmt::format("\x1b[{}A", lines_.size() - 1);
  frame += '\r';
  live_region::draw(out_, frame, static_cast<int>(lines_.size()));
}

void LiveLines::end() {
  if (lines_.empty()) return;
  draw();  // something else may be there by now, such as the ^C that a terminal shows
  const std::string newlines(std::exchange(lines_, {}).size(), '\n');
  live_region::close();
  diagnostics::print(out_, newlines);
}

void LiveLines::clear() {
  if (lines_.empty()) return;
  lines_.clear();
  const auto clearing = live_region::take_clearing(out_);
  diagnostics::print(out_, clearing);
}

}  // namespace levin
