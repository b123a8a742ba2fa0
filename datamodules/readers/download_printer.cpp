#include <levin/datamodules/readers/download_printer.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/files.h>

namespace levin::readers {
namespace {

constexpr int kBarColumns = 32;
constexpr double kRedrawSeconds = 0.1;
constexpr int64_t kUnknownStep = 10'000'000;

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", static_cast<double>(bytes) * 1e-6);
  return text;
}

}  // namespace

DownloadPrinter::DownloadPrinter(std::string name, std::FILE* out)
    : DownloadPrinter(std::move(name), out, terminal_of(out)) {}

DownloadPrinter::DownloadPrinter(std::string name, std::FILE* out, const Terminal& terminal)
    : name_(std::move(name)), out_(out), lines_(std::make_shared<LiveLines>(out, terminal)) {}

void DownloadPrinter::operator()(const DownloadProgress& progress) {
  const double now = files::monotonic_seconds();
  if (started_ < 0 || progress.done < last_) {  // the first call, or another mirror from scratch
    started_ = now;
    started_at_ = progress.done;
    last_step_ = 0;
  }
  last_ = progress.done;
  if (progress.finished) {
    print_end(progress, now);
  } else if (lines_->is_live()) {
    draw_bar(progress, now);
  } else {
    print_line(progress);
  }
}

void DownloadPrinter::draw_bar(const DownloadProgress& progress, double now) {
  if (drawn_ >= 0 && now - drawn_ < kRedrawSeconds) return;
  drawn_ = now;
  const double rate =
      static_cast<double>(progress.done - started_at_) / std::max(now - started_, 1e-3);
  std::string line = name_ + "  ";
  if (progress.total > 0) {
    const double share = static_cast<double>(progress.done) / static_cast<double>(progress.total);
    line += bar_text(share, kBarColumns, Color::cyan, lines_->terminal()) + " " +
            std::to_string(progress.done * 100 / progress.total) + " %  " +
            megabytes(progress.done) + "/" + megabytes(progress.total) + " MB";
  } else {
    line += megabytes(progress.done) + " MB";
  }
  line += "  " + megabytes(static_cast<int64_t>(rate)) + " MB/s";
  if (progress.total > 0 && rate > 0) {
    const double left = static_cast<double>(progress.total - progress.done) / rate;
    line += "  " + std::to_string(static_cast<int64_t>(left + 0.5)) + " s left";
  }
  lines_->write(line);
}

void DownloadPrinter::print_line(const DownloadProgress& progress) {
  const bool known = progress.total > 0;
  const int64_t step = known ? progress.done * 10 / progress.total : progress.done / kUnknownStep;
  if (step <= last_step_) return;
  last_step_ = step;
  if (known) {
    diagnostics::print(
        out_, fmt::format("{}: {} % of {} MB\n", name_, step * 10, megabytes(progress.total)));
  } else {
    diagnostics::print(out_, fmt::format("{}: {} MB\n", name_, megabytes(progress.done)));
  }
}

void DownloadPrinter::print_end(const DownloadProgress& progress, double now) {
  lines_->clear();
  diagnostics::print(out_, fmt::format("{}: {} MB, done in {:.1f} s\n", name_,
                                       megabytes(progress.done), now - started_));
}

}  // namespace levin::readers
