#include <levin/tuning/report/plot_scale.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/svg.h>

namespace levin {
namespace {

constexpr size_t kLongestLabel = 18;
constexpr size_t kMostChoices = 12;

std::string label_of_choice(const Value& choice) {
  const std::string text = choice.is_string() ? choice.as_string() : choice.to_json();
  return text.size() <= kLongestLabel ? text : text.substr(0, kLongestLabel - 3) + "...";
}

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

PlotScale PlotScale::of_parameter(const Distribution& distribution) {
  PlotScale scale;
  scale.is_log_ = distribution.is_log();
  scale.low_ = scale.is_log_ ? std::log10(distribution.low()) : distribution.low();
  scale.high_ = scale.is_log_ ? std::log10(distribution.high()) : distribution.high();
  if (!distribution.is_categorical()) {
    if (scale.high_ <= scale.low_) scale.high_ = scale.low_ + 1.0;
    scale.add_marks(distribution.is_int());
    return scale;
  }
  scale.low_ -= 0.5;
  scale.high_ += 0.5;
  const auto& choices = distribution.choices();
  const size_t stride = (choices.size() + kMostChoices - 1) / kMostChoices;
  for (size_t i = 0; i < choices.size(); i += stride) {
    scale.marks_.emplace_back(scale.place(static_cast<double>(i)), label_of_choice(choices[i]));
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
