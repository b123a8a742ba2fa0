#include <levin/framework/loggers/json_lines_logger.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// Appends a text as JSON writes it, in quotes.
void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "\"NaN\"";
  } else if (std::isinf(value)) {
    out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else if (value == 0.0 && std::signbit(value)) {
    out += "-0.0";  // readers take "-0" for the whole number 0
  } else {
    fmt::format_to(std::back_inserter(out), "{}", value);
  }
}

}  // namespace

Fields describe(JsonLinesLoggerOptions& o) {
  return fields_of<JsonLinesLoggerOptions>({
      {"flush_interval", &o.flush_interval,
       "longest time in seconds that rows stay in memory before they are written"},
  });
}

JsonLinesLogger::JsonLinesLogger(JsonLinesLoggerOptions options) : options_(options) {}

void JsonLinesLogger::start(Run& run) {
  const auto path = run.log_dir() / "metrics.jsonl";
  const auto mark = std::exchange(mark_, std::nullopt);
  const bool is_there = files::exists(path);
  const bool is_resumed = is_there && mark.has_value();
  // A test after a fit goes on with the file, and has the same settings.
  has_settings_ = is_resumed || (is_there && file_.path() == path);
  std::string text;
  if (is_there) text = files::read_text(path);
  std::string_view kept(text);
  if (mark) kept = kept.substr(0, static_cast<size_t>(std::max<int64_t>(*mark, 0)));
  kept = kept.substr(0, kept.rfind('\n') + 1);  // a torn line isn't kept
  if (is_resumed && std::ssize(text) >= *mark && std::ssize(kept) != *mark) {
    throw CheckpointError::io("continue", path.string(),
                              "its lines aren't those that the checkpoint's run wrote; move it "
                              "out of the run's folder to begin a new file");
  }
  if (is_resumed && std::ssize(kept) < *mark) {
    diagnostics::print(
        fmt::format("warning: {} has only {} of the {} bytes that it had when the "
                    "checkpoint was taken; the missing rows are lost\n",
                    path.string(), kept.size(), *mark));
  }
  file_.open(path, std::ssize(kept), options_.flush_interval);
}

void JsonLinesLogger::log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  row_.clear();
  row_ += '{';
  // A metric with one of these names takes the place of the row's own number.
  if (!metrics.contains("epoch")) {
    fmt::format_to(std::back_inserter(row_), "\"epoch\":{},", epoch);
  }
  if (!metrics.contains("step")) fmt::format_to(std::back_inserter(row_), "\"step\":{},", step);
  for (const auto& [name, value] : metrics) {
    append_json_text(row_, name);
    row_ += ':';
    append_json_number(row_, value);
    row_ += ',';
  }
  if (row_.size() > 1) row_.pop_back();
  row_ += "}\n";
  file_.append(row_);
  if (file_.is_due()) file_.flush();
}

void JsonLinesLogger::log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  log_metrics(metrics, epoch, step);
  file_.flush();
}

void JsonLinesLogger::log_hyper_parameters(const Value& settings) {
  if (std::exchange(has_settings_, true)) return;
  file_.append_header(Value(Value::Object{{"settings", settings}}).to_json() + "\n");
  file_.flush();
}

void JsonLinesLogger::log_text(std::string_view tag, std::string_view text, int64_t step) {
  row_ = fmt::format("{{\"step\":{},\"tag\":", step);
  append_json_text(row_, tag);
  row_ += ",\"text\":";
  append_json_text(row_, text);
  row_ += "}\n";
  file_.append(row_);
}

void JsonLinesLogger::flush() { file_.flush(); }

void JsonLinesLogger::finish(bool) { file_.close(); }

StateDict JsonLinesLogger::state_dict() const {
  StateDict state;
  state.values["offset"] = file_.offset();
  return state;
}

void JsonLinesLogger::load_state_dict(const StateDict& state) {
  mark_ = state.values.at("offset").as_int();
}

}  // namespace levin
