#include <levin/serving/load/latency_plot.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/plots/svg.h>

namespace levin {
namespace {

constexpr double kLeft = 78.0;
constexpr double kTop = 64.0;
constexpr double kPlotWidth = 680.0;
constexpr double kPlotHeight = 388.0;
constexpr double kRight = kLeft + kPlotWidth;
constexpr double kBottom = kTop + kPlotHeight;
/// The least distance of the names at the ends of the curves.
constexpr double kNameHeight = 16.0;

struct PlotCurve {
  const char* name;
  double percent;
};
constexpr std::array<PlotCurve, 4> kCurves = {
    {{"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}, {"p99.9", 99.9}}};

/// Where values are: the rate on a linear axis from 0, the latency on a logarithmic one.
class PlotAxes {
 public:
  PlotAxes(const std::vector<LoadStep>& steps, double maximum) {
    double low = std::numeric_limits<double>::infinity();
    double high = 0.0;
    most_ = maximum;
    for (const auto& step : steps) {
      most_ = std::max(most_, step.rate);
      for (const auto& curve : kCurves) {
        const double latency = latency_of(step, curve.percent);
        low = std::min(low, latency);
        high = std::max(high, latency);
      }
    }
    if (most_ <= 0.0) most_ = 1.0;
    if (high <= 0.0) low = high = 1.0;
    low_ = std::log10(low) - 0.1;
    high_ = std::max(std::log10(high) + 0.15, low_ + 1.0);
  }

  static double latency_of(const LoadStep& step, double percent) {
    return std::max(step.result.latency.percentile(percent) * 1e3, 1e-4);
  }
  double x(double rate) const { return kLeft + kPlotWidth * rate / (1.04 * most_); }
  double y(double latency) const {
    return kBottom - kPlotHeight * (std::log10(latency) - low_) / (high_ - low_);
  }

  std::string draw() const {
    std::string out;
    const double step = svg::nice_step(most_ / 6.0);
    for (double rate = 0.0; rate <= 1.04 * most_; rate += step) {
      out += svg::line(x(rate), kTop, x(rate), kBottom, "grid");
      out += svg::text(x(rate), kBottom + 20.0, svg::number(rate), "middle", "faint");
    }
    const bool is_narrow = high_ - low_ < 2.2;  // also 2 and 5 have labels then
    for (int power = static_cast<int>(std::floor(low_)); power <= std::ceil(high_); ++power) {
      for (const int digit : {1, 2, 5}) {
        const double latency = digit * std::pow(10.0, power);
        if (std::log10(latency) < low_ || std::log10(latency) > high_) continue;
        if (digit != 1 && !is_narrow) continue;
        out += svg::line(kLeft, y(latency), kRight, y(latency), "grid");
        out += svg::text(kLeft - 8.0, y(latency) + 4.5, svg::number(latency), "end", "faint");
      }
    }
    out += svg::line(kLeft, kTop, kLeft, kBottom, "axis");
    out += svg::line(kLeft, kBottom, kRight, kBottom, "axis");
    out +=
        svg::text(kLeft + kPlotWidth / 2.0, kBottom + 44.0, "requests a second (sent)", "middle");
    out += svg::text(kLeft - 54.0, kTop - 14.0, "latency in milliseconds", "start");
    return out;
  }

 private:
  double most_ = 0.0;
  double low_ = 0.0;  // logarithms
  double high_ = 0.0;
};

std::string draw_plot_curve(size_t index, const std::vector<LoadStep>& steps,
                            const PlotAxes& axes) {
  std::string points;
  std::string dots;
  for (const auto& step : steps) {
    const double x = axes.x(step.rate);
    const double y = axes.y(PlotAxes::latency_of(step, kCurves[index].percent));
    points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", x, y);
    dots +=
        fmt::format("<circle class=\"d{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"/>\n", index, x, y);
  }
  return fmt::format("<polyline class=\"c{}\" points=\"{}\" fill=\"none\" stroke-width=\"2\"/>\n{}",
                     index, points, dots);
}

/// Names the curves at their right ends, far enough from each other.
std::string draw_plot_names(const LoadStep& last, const PlotAxes& axes) {
  std::string out;
  double above = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < kCurves.size(); ++i) {  // from the lowest to the highest
    double y = axes.y(PlotAxes::latency_of(last, kCurves[i].percent)) + 4.5;
    y = std::min(y, above - kNameHeight);
    above = y;
    out += svg::text(kRight + 8.0, y, kCurves[i].name, "start", fmt::format("d{}", i), 14);
  }
  return out;
}

}  // namespace

std::string draw_latencies(const std::vector<LoadStep>& all, std::string_view title,
                           double maximum) {
  std::vector<LoadStep> steps;
  std::copy_if(all.begin(), all.end(), std::back_inserter(steps),
               [](const LoadStep& step) { return step.result.latency.count() > 0; });
  std::stable_sort(steps.begin(), steps.end(),
                   [](const LoadStep& a, const LoadStep& b) { return a.rate < b.rate; });
  const PlotAxes axes(steps, maximum);
  std::string out = svg::begin(860, 520, title);
  out += svg::text(kLeft - 54.0, 26.0, title, "start", "text", 17);
  out += axes.draw();
  if (maximum > 0.0) {
    out += svg::line(axes.x(maximum), kTop, axes.x(maximum), kBottom, "mark",
                     " stroke-dasharray=\"5 4\"");
    out += svg::text(axes.x(maximum) + 4.0, kTop - 14.0,
                     fmt::format("maximum of a closed loop: {}", svg::number(std::round(maximum))),
                     "end", "faint");
  }
  for (size_t i = 0; i < kCurves.size(); ++i) out += draw_plot_curve(i, steps, axes);
  if (!steps.empty()) out += draw_plot_names(steps.back(), axes);
  return out.append(svg::end());
}

}  // namespace levin
