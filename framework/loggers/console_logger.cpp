#include <levin/framework/loggers/console_logger.h>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>

namespace levin {

Fields describe(ConsoleLoggerOptions& o) {
  return fields_of<ConsoleLoggerOptions>({
      {"log_steps", &o.log_steps, "also write a line for the metrics of single steps"},
  });
}

ConsoleLogger::ConsoleLogger(ConsoleLoggerOptions options, std::FILE* out)
    : options_(options), out_(out) {}

void ConsoleLogger::log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  if (options_.log_steps) write(metrics, epoch, step);
}

void ConsoleLogger::log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  write(metrics, epoch, step);
}

void ConsoleLogger::write(const MetricMap& metrics, int64_t epoch, int64_t step) {
  std::string text = fmt::format("epoch {}, step {}:", epoch, step);
  std::string_view separator = " ";
  for (const auto& [name, value] : metrics) {
    text += fmt::format("{}{} {:.4g}", separator, name, value);
    separator = ", ";
  }
  text += '\n';
  diagnostics::print(out_, text);
}

}  // namespace levin
