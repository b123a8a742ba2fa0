#include <levin/framework/config/job.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <levin/framework/config/linked_setting.h>
#include <levin/framework/config/schedule_settings.h>
#include <levin/framework/core/value_yaml.h>

namespace levin {
namespace {

constexpr size_t kCommentColumn = 46;

/// Writes a job part by part, with comments in a column of their own.
class JobWriter {
 public:
  JobWriter(const Job& job, const Registry& registry, bool comments)
      : job_(job), registry_(registry), comments_(comments) {}

  std::string write() {
    out_ << YAML::BeginMap;
    setting("seed_everything", job_.seed ? Value(*job_.seed) : Value(false),
            "a whole number; false: don't seed");
    write_trainer();
    part("model", job_.model, one_of("class_path and init_args of", registry_.models));
    part("data", job_.data, one_of("class_path and init_args of", registry_.datamodules));
    part("optimizer", job_.optimizer, one_of("null: the model's own; or", registry_.optimizers),
         [this] { write_groups(); });
    part("lr_scheduler", job_.lr_scheduler,
         one_of("null: none, or the model's own; or", registry_.schedulers),
         [this] { write_schedule(); });
    setting("ckpt_path", job_.ckpt_path.empty() ? Value() : Value(job_.ckpt_path),
            "the checkpoint that fit goes on from and that the other commands take the weights "
            "from: a file, \"last\" or \"best\"");
    write_links();
    if (!registry_.plugins.empty()) {
      setting("plugins", Value::Array(registry_.plugins.begin(), registry_.plugins.end()),
              "libraries of classes of your own, from the folder of this file on");
    }
    out_ << YAML::EndMap;
    return take_yaml(out_);
  }

 private:
  template <class List>
  static std::string one_of(std::string_view what, const List& list) {
    return fmt::format("{} {}", what, fmt::join(list.names(), ", "));
  }

  void write_trainer() {
    key("trainer");
    out_ << YAML::Value << YAML::BeginMap;
    settings(job_.trainer_settings.fields, "trainer");
    for (const auto& [option, on] : job_.switches) {
      settings({{option.option, on.get(), option.help}}, "trainer");
    }
    list("callbacks", job_.callbacks, one_of("a list of", registry_.callbacks));
    const std::string loggers = one_of("true, false, or some of", registry_.loggers);
    if (job_.default_loggers || job_.loggers.empty()) {
      setting("logger", job_.default_loggers, loggers);
    } else {
      list("logger", job_.loggers, loggers);
    }
    out_ << YAML::EndMap;
  }

  void write_groups() {
    Value::Array groups;
    for (ParameterRule rule : job_.parameter_groups) groups.push_back(to_value(describe(rule)));
    setting(
        "groups", groups,
        "parameters with settings of their own, such as [{names: [\"*.bias\"], weight_decay: 0}]");
  }

  void write_schedule() {
    const bool counts_steps = job_.schedule.interval == Interval::step;
    ScheduleSettings written{counts_steps ? "step" : "epoch", job_.schedule};
    settings(describe(written), "lr_scheduler");
  }

  void key(std::string_view name) {
    out_ << YAML::Key;
    emit(out_, name);
  }

  void setting(std::string_view name, const Value& value, std::string_view help) {
    key(name);
    out_ << YAML::Value;
    emit(out_, value);
    comment(help);
  }

  /// Settings of the class at `place`, except for the targets of links.
  void settings(const Fields& fields, std::string_view place) {
    for (const auto& field : fields) {
      if (is_linked(place, field.name)) continue;
      setting(field.name, field.get(), field.help);
    }
  }

  bool is_linked(std::string_view place, std::string_view name) const {
    return std::any_of(job_.links.begin(), job_.links.end(), [&](const AppliedLink& each) {
      return !each.is_detached && each.place == place && each.key == name;
    });
  }

  /// The links that a configuration can have; comments say what they have set.
  void write_links() {
    std::vector<const AppliedLink*> plain;
    for (const auto& each : job_.links) {
      // Null removes links of the program; those of the configuration just aren't there any more.
      if (each.is_detached ? is_of_program(each) : !each.link.compute) plain.push_back(&each);
    }
    if (plain.empty()) {
      return setting("links", Value::Object{},
                     "settings that take the values of others, such as {data.seed: "
                     "seed_everything}");
    }
    key("links");
    out_ << YAML::Value << YAML::BeginMap;
    for (const auto* each : plain) {
      const Value source = each->is_detached ? Value() : Value(each->link.sources.front());
      const bool is_set = !each->key.empty();
      setting(each->link.target, source, is_set ? "now " + each->value.to_json() : "removed");
    }
    out_ << YAML::EndMap;
  }

  bool is_of_program(const AppliedLink& link) const {
    return std::any_of(registry_.links.begin(), registry_.links.end(), [&](const Link& each) {
      return keys_of_setting(each.target) == keys_of_setting(link.link.target);
    });
  }

  /// `class_path` and `init_args`, and whatever `more` writes beside them.
  template <class More>
  void object_of(const Chosen& chosen, const More& more) {
    out_ << YAML::BeginMap;
    setting("class_path", chosen.name, {});
    if (!chosen.fields.empty()) {
      key("init_args");
      out_ << YAML::Value << YAML::BeginMap;
      settings(chosen.fields, chosen.place);
      out_ << YAML::EndMap;
    }
    more();
    out_ << YAML::EndMap;
  }

  template <class List>
  void list(std::string_view name, const List& all, std::string_view help) {
    if (all.empty()) return setting(name, Value::Array{}, help);
    key(name);
    comment(help, /*to_come=*/1);  // the colon
    out_ << YAML::Value << YAML::BeginSeq;
    for (const auto& each : all) object_of(each, [] {});
    out_ << YAML::EndSeq;
  }

  /// A part of the root, null if it isn't given.
  template <class Part, class More = void (*)()>
  void part(
      std::string_view name, const Part& given, std::string_view if_null,
      const More& more = [] {}) {
    if (!given) return setting(name, Value(), if_null);
    key(name);
    out_ << YAML::Value;
    object_of(*given, more);
  }

  /// Ends the line with a comment; `to_come` is how far the line still grows before it.
  void comment(std::string_view text, size_t to_come = 0) {
    if (!comments_ || text.empty()) return;
    const std::string_view yaml(out_.c_str(), out_.size());
    const size_t used = yaml.size() - (yaml.rfind('\n') + 1) + to_come;
    out_.SetPreCommentIndent(used + 2 > kCommentColumn ? 2 : kCommentColumn - used);
    out_ << YAML::Comment(std::string(text));
  }

  const Job& job_;
  const Registry& registry_;
  bool comments_;
  YAML::Emitter out_;
};

}  // namespace

std::string to_yaml(const Job& job, const Registry& registry, bool comments) {
  return JobWriter(job, registry, comments).write();
}

}  // namespace levin
