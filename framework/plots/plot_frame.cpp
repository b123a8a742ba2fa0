#include <levin/framework/plots/plot_frame.h>

#include <levin/framework/plots/svg.h>

namespace levin {

std::string draw_vertical_axis(const PlotFrame& frame, const PlotScale& scale,
                               std::string_view label) {
  std::string out;
  for (const auto& [place, mark] : scale.marks()) {
    out += svg::line(frame.left, frame.y(place), frame.right, frame.y(place), "grid");
    out += svg::text(frame.left - 8.0, frame.y(place) + 4.5, mark, "end", "faint", 12);
  }
  out += svg::line(frame.left, frame.top, frame.left, frame.bottom, "axis");
  return out + svg::text(frame.left - 50.0, frame.top - 16.0, label, "start");
}

std::string draw_horizontal_axis(const PlotFrame& frame, const PlotScale& scale,
                                 std::string_view label) {
  std::string out;
  for (const auto& [place, mark] : scale.marks()) {
    out += svg::line(frame.x(place), frame.bottom, frame.x(place), frame.bottom + 4.0, "axis");
    out += svg::text(frame.x(place), frame.bottom + 18.0, mark, "middle", "faint", 12);
  }
  out += svg::line(frame.left, frame.bottom, frame.right, frame.bottom, "axis");
  return out + svg::text((frame.left + frame.right) / 2.0, frame.bottom + 38.0, label, "middle");
}

std::string draw_title(std::string_view title) {
  return svg::text(28.0, 28.0, title, "start", "text", 17);
}

}  // namespace levin
