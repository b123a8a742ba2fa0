#include <levin/framework/config/job.h>

#include <algorithm>

#include <fmt/format.h>

namespace levin {
namespace {

constexpr size_t kCommentColumn = 46;

/// Writes lines of YAML, with comments in a column of their own.
class Writer {
 public:
  explicit Writer(bool comments) : comments_(comments) {}

  void line(int indent, std::string_view text, std::string_view comment = {}) {
    const size_t start = yaml_.size();
    yaml_ += std::string(static_cast<size_t>(indent), ' ');
    yaml_ += text;
    if (comments_ && !comment.empty()) {
      const size_t used = yaml_.size() - start;
      yaml_ += std::string(used + 2 > kCommentColumn ? 2 : kCommentColumn - used, ' ');
      yaml_ += "# ";
      yaml_ += comment;
    }
    yaml_ += '\n';
  }

  void settings(const Fields& fields, int indent) {
    for (const auto& field : fields) {
      std::string value = field.get().to_yaml();  // ends in a line feed
      value.pop_back();
      line(indent, fmt::format("{}: {}", field.name, value), field.help);
    }
  }

  /// `class_path` and `init_args`, the first line after `first` ("  - ", or blanks).
  void chosen(const Chosen& chosen, int indent, std::string_view first = {}) {
    line(indent - static_cast<int>(first.size()),
         fmt::format("{}class_path: {}", first, chosen.name));
    if (chosen.fields.empty()) return;
    line(indent, "init_args:");
    settings(chosen.fields, indent + 2);
  }

  template <class List>
  void list(std::string_view key, const List& all, int indent, std::string_view comment) {
    line(indent, fmt::format("{}:{}", key, all.empty() ? " []" : ""), comment);
    for (const auto& each : all) chosen(each, indent + 4, "- ");
  }

  /// A part of the root, null where it isn't given.
  template <class Part>
  void part(std::string_view key, const Part& optional, std::string_view if_null) {
    if (!optional) return line(0, fmt::format("{}: null", key), if_null);
    line(0, fmt::format("{}:", key));
    chosen(*optional, 2);
  }

  std::string take() { return std::move(yaml_); }

 private:
  bool comments_;
  std::string yaml_;
};

template <class List>
std::string one_of(std::string_view what, const List& list) {
  std::string text(what);
  std::string_view separator = " ";
  for (const auto& name : list.names()) {
    text += fmt::format("{}{}", separator, name);
    separator = ", ";
  }
  return text;
}

void write_trainer(Writer& out, const Job& job, const Registry& registry) {
  out.line(0, "trainer:");
  out.settings(job.trainer_settings.fields, 2);
  for (const auto& [option, on] : job.switches) {
    out.settings({{option.option, on.get(), option.help}}, 2);
  }
  out.list("callbacks", job.callbacks, 2, one_of("a list of", registry.callbacks));
  const std::string loggers = one_of("true, false, or some of", registry.loggers);
  if (job.default_loggers) {
    out.line(2, "logger: true", loggers);
  } else if (job.loggers.empty()) {
    out.line(2, "logger: false", loggers);
  } else {
    out.list("logger", job.loggers, 2, loggers);
  }
}

}  // namespace

std::string to_yaml(const Job& job, const Registry& registry, bool comments) {
  Writer out(comments);
  out.line(0, fmt::format("seed_everything: {}", job.seed ? std::to_string(*job.seed) : "false"),
           "a whole number; false: don't seed");
  write_trainer(out, job, registry);
  out.part("model", job.model, one_of("class_path and init_args of", registry.models));
  out.part("data", job.data, one_of("class_path and init_args of", registry.datamodules));
  out.part("optimizer", job.optimizer, one_of("null: the model's own; or", registry.optimizers));
  out.part("lr_scheduler", job.lr_scheduler,
           one_of("null: none, or the model's own; or", registry.schedulers));
  if (job.lr_scheduler) {
    ScheduleOptions schedule = job.schedule;
    std::string interval = schedule.interval == Interval::step ? "step" : "epoch";
    out.settings({{"interval", &interval, "what it counts: \"epoch\" or \"step\""},
                  {"frequency", &schedule.frequency, "acts every so many of them"},
                  {"monitor", &schedule.monitor, "the metric a plateau scheduler watches"},
                  {"strict", &schedule.strict, "whether a missing monitor is an error"}},
                 2);
  }
  out.line(0, "ckpt_path: " + (job.ckpt_path.empty() ? "null" : Value(job.ckpt_path).to_json()),
           "a file, \"last\" or \"best\": go on from there (fit), or use its weights");
  return out.take();
}

std::string settings_to_yaml(const Fields& fields, int indent, bool comments) {
  Writer out(comments);
  out.settings(fields, indent);
  return out.take();
}

}  // namespace levin
