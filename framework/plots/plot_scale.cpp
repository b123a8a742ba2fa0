#include <levin/framework/plots/plot_scale.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <levin/framework/plots/svg.h>

namespace levin {
namespace {

constexpr size_t kMostNames = 12;

}  // namespace

PlotScale PlotScale::of_values(const std::vector<double>& values) {
  PlotScale scale;
  bool has_values = false;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    scale.low_ = has_values ? std::min(scale.low_, value) : value;
    scale.high_ = has_values ? std::max(scale.high_, value) : value;
    has_values = true;
  }
  const double span = scale.high_ - scale.low_;
  const double room = span > 0.0 ? 0.05 * span : std::max(0.5 * std::abs(scale.low_), 1e-6);
  scale.low_ -= room;
  scale.high_ += room;
  scale.add_marks();
  return scale;
}

PlotScale PlotScale::of_range(double low, double high, Kind kind) {
  PlotScale scale;
  scale.is_log_ = kind == Kind::logarithmic;
  scale.low_ = scale.is_log_ ? std::log10(low) : low;
  scale.high_ = scale.is_log_ ? std::log10(high) : high;
  if (scale.high_ <= scale.low_) scale.high_ = scale.low_ + 1.0;
  scale.add_marks(kind == Kind::whole);
  return scale;
}

PlotScale PlotScale::of_names(const std::vector<std::string>& names) {
  PlotScale scale;
  scale.low_ = -0.5;
  scale.high_ = static_cast<double>(std::max<size_t>(names.size(), 1)) - 0.5;
  const size_t stride = (names.size() + kMostNames - 1) / kMostNames;
  for (size_t i = 0; i < names.size(); i += stride) {
    scale.marks_.emplace_back(scale.place(static_cast<double>(i)), names[i]);
  }
  return scale;
}

double PlotScale::place(double value) const {
  const double at = is_log_ ? std::log10(value) : value;
  return std::clamp((at - low_) / (high_ - low_), 0.0, 1.0);
}

void PlotScale::add_marks(bool are_whole) {
  if (is_log_ && high_ - low_ >= 1.0) {
    const double stride = std::ceil((high_ - low_) / 6.0);
    for (double power = std::ceil(low_ - 1e-9); power <= high_ + 1e-9; power += stride) {
      const double value = std::pow(10.0, power);
      marks_.emplace_back(place(value), fmt::format("{:g}", value));
    }
    return;
  }
  const double low = is_log_ ? std::pow(10.0, low_) : low_;
  const double high = is_log_ ? std::pow(10.0, high_) : high_;
  double step = svg::nice_step((high - low) / 5.0);
  if (are_whole && step != std::floor(step)) step = step < 1.0 ? 1.0 : svg::nice_step(step + 0.1);
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) {
    const double value = i * step + 0.0;  // no -0
    marks_.emplace_back(place(value), svg::number(value));
  }
}

}  // namespace levin
