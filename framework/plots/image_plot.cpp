#include <levin/framework/plots/image_plot.h>

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include <levin/framework/plots/plot_frame.h>
#include <levin/framework/plots/svg.h>

namespace levin {
namespace {

constexpr int kImagesWidth = 640;
constexpr size_t kMostImagePixels = 64;
constexpr double kImageGap = 14.0;
constexpr double kImageGroupName = 24.0;  // a line of it
constexpr int kGroupLetters = 56;         // in a line
/// How many different colours there are on each side of 0.
constexpr int kShades = 15;

/// The mean of each square of `factor` by `factor` pixels.
PlotImage shrunk_image(const PlotImage& image, size_t factor) {
  if (factor <= 1) return image;
  PlotImage small{image.name, image.rows / factor, image.columns / factor, {}};
  for (size_t i = 0; i < small.rows; ++i) {
    for (size_t j = 0; j < small.columns; ++j) {
      double sum = 0.0;
      for (size_t k = 0; k < factor * factor; ++k) {
        sum += image.values[(i * factor + k / factor) * image.columns + j * factor + k % factor];
      }
      small.values.push_back(sum / static_cast<double>(factor * factor));
    }
  }
  return small;
}

/// White for 0, and up to a dark blue for `kShades` or a dark orange for `-kShades`.
std::string shade_colour(int shade) {
  const double share = std::abs(shade) / static_cast<double>(kShades);
  const double dark[2][3] = {{166.0, 70.0, 0.0}, {0.0, 84.0, 138.0}};
  const double* end = dark[shade > 0 ? 1 : 0];
  const auto part = [&](int i) {
    return static_cast<int>(std::lround(247.0 + share * (end[i] - 247.0)));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", part(0), part(1), part(2));
}

/// One path for each colour, of a square for each run of pixels.
std::string draw_image(const PlotImage& image, double most) {
  std::map<int, std::string> paths;
  for (size_t i = 0; i < image.rows; ++i) {
    for (size_t j = 0; j < image.columns;) {
      const auto shade_at = [&](size_t column) {
        const double value = image.values[i * image.columns + column];
        return most > 0.0 && std::isfinite(value)
                   ? static_cast<int>(std::lround(kShades * value / most))
                   : 0;
      };
      const size_t from = j;
      while (j < image.columns && shade_at(j) == shade_at(from)) ++j;
      paths[shade_at(from)] += fmt::format("M{} {}h{}v1h-{}z", from, i, j - from, j - from);
    }
  }
  std::string out;
  for (const auto& [shade, path] : paths) {
    out += fmt::format("<path fill=\"{}\" d=\"{}\"/>\n", shade_colour(shade), path);
  }
  return out;
}

/// The sizes of all images of a drawing, and the values of its strongest colours.
struct ImageSizes {
  explicit ImageSizes(const std::vector<ImageGroup>& groups) {
    size_t pixels = 1;
    size_t images = 1;
    for (const auto& group : groups) {
      images = std::max(images, group.images.size());
      for (const auto& image : group.images) {
        pixels = std::max({pixels, image.rows, image.columns});
        for (const double value : image.values) {
          if (std::isfinite(value)) most = std::max(most, std::abs(value));
        }
      }
    }
    factor = (pixels + kMostImagePixels - 1) / kMostImagePixels;
    across = std::min<size_t>(images, images > 8 ? 5 : 4);
    side = std::min(240.0,
                    (kImagesWidth - 56.0 + kImageGap) / static_cast<double>(across) - kImageGap);
  }

  double most = 0.0;
  size_t factor = 1;  // by which images are drawn smaller
  size_t across = 1;
  double side = 240.0;
};

/// Draws a group from `top` on, and moves `top` below it.
std::string draw_group(const ImageGroup& group, const ImageSizes& sizes, double& top) {
  std::string out;
  if (!group.name.empty()) {
    for (const auto& line : svg::wrapped(group.name, kGroupLetters)) {
      out += svg::text(28.0, top + 12.0, line, "start", "text", 15);
      top += kImageGroupName;
    }
  }
  const double line_height = sizes.side + 40.0;
  for (size_t i = 0; i < group.images.size(); ++i) {
    const double x = 28.0 + (sizes.side + kImageGap) * static_cast<double>(i % sizes.across);
    const double y = top + 24.0 + line_height * static_cast<double>(i / sizes.across);
    const PlotImage image = shrunk_image(group.images[i], sizes.factor);
    out += svg::text(x, y - 8.0, image.name, "start");
    const double scale =
        sizes.side / static_cast<double>(std::max({image.rows, image.columns, size_t{1}}));
    out += fmt::format(
        "<g transform=\"translate({:.1f} {:.1f}) scale({:.4f})\" shape-rendering=\"crispEdges\">\n"
        "<title>{}</title>\n{}</g>\n",
        x, y, scale, svg::escaped(image.name), draw_image(image, sizes.most));
  }
  const size_t lines = (group.images.size() + sizes.across - 1) / sizes.across;
  top += line_height * static_cast<double>(lines);
  return out;
}

}  // namespace

std::string draw_images(std::string_view title, const std::vector<PlotImage>& images,
                        bool with_style) {
  return draw_image_groups(title, {{{}, images}}, with_style);
}

std::string draw_image_groups(std::string_view title, const std::vector<ImageGroup>& groups,
                              bool with_style) {
  const ImageSizes sizes(groups);
  double top = 70.0;
  std::string body =
      draw_title(title) +
      svg::text(28.0, 52.0,
                fmt::format("blue: up to {0:.3g}; orange: down to -{0:.3g}", sizes.most), "start",
                "faint");
  for (const auto& group : groups) body += draw_group(group, sizes, top);
  return svg::begin(kImagesWidth, static_cast<int>(top) + 10, title, with_style, true) + body +
         std::string(svg::end());
}

}  // namespace levin
