#include <levin/callbacks/progress_line.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/callbacks/progress_pass.h>

namespace levin {
namespace {

/// How the columns that are left are shared by the bar and the curve of losses.
struct RoomShares {
  int bar = 0;     // 0: none
  int losses = 0;  // without the word before it; 0: none
};

constexpr std::string_view kLosses = " loss ";

RoomShares share_room(int room, bool has_bar, bool has_losses) {
  constexpr int kLeastBar = 6, kGoodBar = 12, kMostBar = 22;
  constexpr int kLeastLosses = 8, kMostLosses = 16;
  RoomShares shares;
  if (has_bar && room >= kLeastBar) {
    shares.bar = std::min(room, kGoodBar);
    room -= shares.bar;
  }
  const int rest = room - static_cast<int>(kLosses.size());
  if (has_losses && rest >= kLeastLosses) {
    shares.losses = std::min(rest, kMostLosses);
    room = rest - shares.losses;
  }
  if (shares.bar > 0) shares.bar = std::min(shares.bar + room, kMostBar);
  return shares;
}

}  // namespace

std::string progress_line(const ProgressPass& pass, double now, bool is_last,
                          const std::vector<std::string>& metrics, const ProgressLook& look) {
  const bool has_share = pass.total > 0;
  const double share =
      has_share ? std::min(static_cast<double>(pass.done) / static_cast<double>(pass.total), 1.0)
                : 0.0;
  const std::string percent = has_share ? fmt::format(" {:>3.0f}%", share * 100.0) : "";
  const bool is_limited = look.columns > 0;
  int room = look.columns - text_columns(pass.label) - static_cast<int>(percent.size());
  const auto fits = [&](const std::string& text) {
    return !is_limited || text_columns(text) <= room;
  };

  std::string first = metrics.empty() ? std::string() : " " + metrics[0];
  std::string tail;
  for (const auto& detail : progress_details(pass, now, is_last)) {
    tail = detail + first;
    if (fits(tail)) break;
  }
  if (!fits(tail)) tail.clear();
  room -= text_columns(tail);
  for (size_t i = 1; i < metrics.size() && !tail.empty(); ++i) {
    const std::string next = ", " + metrics[i];
    if (!fits(next)) break;
    tail += next;
    room -= text_columns(next);
  }

  std::string bar, losses;
  if (is_limited) {
    const bool has_losses = look.losses != nullptr && !look.losses->empty();
    const RoomShares shares = share_room(room, has_share, has_losses);
    if (shares.bar > 0) bar = bar_text(share, shares.bar, look.bar, look.terminal);
    if (shares.losses > 0) {
      losses =
          std::string(kLosses) + painted(look.losses->text(shares.losses, look.terminal.unicode),
                                         Color::magenta, look.terminal.color);
    }
  }
  return painted(pass.label, Color::bold, look.terminal.color) + percent + bar + tail + losses;
}

}  // namespace levin
