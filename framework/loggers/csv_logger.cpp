#include <levin/framework/loggers/csv_logger.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/csv_cell.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

const std::vector<std::string> kFirstColumns{"epoch", "step"};

/// Returns a header cell. Line breaks become spaces, because rows are told apart by them.
std::string header_cell(std::string name) {
  std::replace(name.begin(), name.end(), '\n', ' ');
  return csv_cell(name);
}

std::string header(const std::vector<std::string>& columns) {
  std::string text;
  for (const auto& column : columns) text += (text.empty() ? "" : ",") + header_cell(column);
  return text + "\n";
}

/// Returns the cells of a header line. The line comes without its newline.
std::vector<std::string> parse_header(std::string_view line) {
  std::vector<std::string> cells(1);
  bool in_quotes = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && in_quotes && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += line[++i];
    } else if (c == '"') {
      in_quotes = !in_quotes;
    } else if (c == ',' && !in_quotes) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

/// Returns the complete lines of a text without their newlines. A last line without a newline is
/// left out.
std::vector<std::string_view> whole_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return lines;
}

template <class T>
void append_number(std::string& text, T value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  text.append(buffer, result.ptr);
}

void append_value(std::string& text, double value) {
  if (std::isnan(value)) {
    text += "nan";  // to_chars would write the sign of a NaN
  } else {
    append_number(text, value);
  }
}

}  // namespace

Fields describe(CsvLoggerOptions& o) {
  return fields_of<CsvLoggerOptions>({
      {"flush_interval", &o.flush_interval,
       "longest time in seconds that rows stay in memory before they are written"},
  });
}

CsvLogger::CsvLogger(CsvLoggerOptions options) : options_(options) {}

void CsvLogger::start(Run& run) {
  path_ = run.log_dir() / "metrics.csv";
  columns_ = kFirstColumns;
  rows_ = 0;
  settings_ = {};
  const auto mark = std::exchange(mark_, std::nullopt);
  if (files::exists(path_)) {
    const std::string text = files::read_text(path_);
    if (mark) {
      cut_back(*mark, text);
    } else {
      take_over(text);
    }
    return;
  }
  if (mark) columns_ = mark->columns;
  file_.open(path_, 0, options_.flush_interval);
  file_.append_header(header(columns_));
}

void CsvLogger::take_over(const std::string& text) {
  const auto lines = whole_lines(text);
  if (!lines.empty()) {
    columns_ = parse_header(lines.front());
    rows_ = std::ssize(lines) - 1;
    if (columns_.size() < 2 ||
        !std::equal(kFirstColumns.begin(), kFirstColumns.end(), columns_.begin())) {
      throw CheckpointError::io(
          "continue", path_.string(),
          "its first columns aren't epoch and step, so it isn't a table of metrics; "
          "move it out of the run's folder");
    }
  }
  const size_t torn = text.size() - (text.rfind('\n') + 1);
  file_.open(path_, static_cast<int64_t>(text.size() - torn), options_.flush_interval);
  if (lines.empty()) file_.append_header(header(columns_));
}

void CsvLogger::cut_back(const Mark& mark, const std::string& text) {
  const auto lines = whole_lines(text);
  const auto on_disk = lines.empty() ? mark.columns : parse_header(lines.front());
  columns_ = mark.columns;
  const bool is_ours = on_disk.size() >= columns_.size() &&
                       std::equal(columns_.begin(), columns_.end(), on_disk.begin());
  // Columns that were added after the checkpoint are empty in the rows to keep. These rows
  // therefore end in as many commas.
  const std::string surplus(on_disk.size() - std::min(on_disk.size(), columns_.size()), ',');
  std::string kept = header(columns_);
  bool is_narrower = true;
  for (size_t i = 1; i < lines.size() && rows_ < mark.rows; ++i, ++rows_) {
    is_narrower = is_narrower && lines[i].ends_with(surplus);
    if (!is_narrower) break;
    kept.append(lines[i].substr(0, lines[i].size() - surplus.size())) += '\n';
  }
  const bool is_whole = rows_ == mark.rows;
  if (!is_ours || !is_narrower || (is_whole && std::ssize(kept) != mark.offset)) {
    throw CheckpointError::io("continue", path_.string(),
                              "its columns or rows aren't those that the checkpoint's run wrote; "
                              "move it out of the run's folder to begin a new table");
  }
  if (!is_whole) {
    diagnostics::print(
        fmt::format("warning: {} has only {} of the {} rows that it had when the checkpoint was "
                    "taken; the missing rows are lost\n",
                    path_.string(), rows_, mark.rows));
  }
  if (!surplus.empty() || !std::string_view(text).starts_with(kept)) {
    files::write_atomically(path_, kept);
  }
  file_.open(path_, std::ssize(kept), options_.flush_interval);
}

void CsvLogger::log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  widen(metrics);
  row_.clear();
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (i > 0) row_ += ',';
    const auto found = metrics.find(columns_[i]);
    if (found != metrics.end()) {
      append_value(row_, found->second);
    } else if (i < kFirstColumns.size()) {
      append_number(row_, i == 0 ? epoch : step);
    }
  }
  row_ += '\n';
  file_.append(row_);
  ++rows_;
  if (file_.is_due()) flush();
}

void CsvLogger::log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  log_metrics(metrics, epoch, step);
  flush();
}

void CsvLogger::widen(const MetricMap& metrics) {
  const size_t before = columns_.size();
  for (const auto& [name, value] : metrics) {
    if (std::find(columns_.begin(), columns_.end(), name) == columns_.end()) {
      columns_.push_back(name);
    }
  }
  if (columns_.size() == before) return;
  const bool was_read = file_.rewrite([&](const std::string& text) {
    const std::string empty_cells = std::string(columns_.size() - before, ',') + "\n";
    std::string wider = header(columns_);
    const auto lines = whole_lines(text);
    for (size_t i = 1; i < lines.size(); ++i) wider.append(lines[i]) += empty_cells;
    return wider;
  });
  if (!was_read) columns_.resize(before);  // the row is written without its new metrics
  flush();
}

void CsvLogger::log_hyper_parameters(const Value& settings) {
  settings_ = KeptFile(path_.parent_path() / "hparams.yaml", settings.to_yaml());
  settings_.keep();
}

void CsvLogger::flush() {
  if (!file_.is_open()) return;
  settings_.keep();
  file_.flush();
}

void CsvLogger::finish(bool) {
  if (!file_.is_open()) return;
  settings_.keep();
  file_.close();
}

StateDict CsvLogger::state_dict() const {
  StateDict state;
  Value::Array columns;
  for (const auto& column : columns_) columns.emplace_back(column);
  state.values["columns"] = std::move(columns);
  state.values["rows"] = rows_;
  state.values["offset"] = file_.offset();
  return state;
}

void CsvLogger::load_state_dict(const StateDict& state) {
  Mark mark;
  for (const auto& column : state.values.at("columns").as_array()) {
    mark.columns.push_back(column.as_string());
  }
  mark.rows = state.values.at("rows").as_int();
  mark.offset = state.values.at("offset").as_int();
  mark_ = std::move(mark);
}

}  // namespace levin
