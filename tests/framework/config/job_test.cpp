#include <levin/framework/config/job.h>

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include <levin/framework/config/yaml.h>
#include <levin/framework/optimizers/adam.h>

#include "framework/message_of.h"

namespace mine {

struct NetOptions {
  int64_t units = 8;
  double learning_rate = 0.1;
};

levin::Fields describe(NetOptions& o) {
  return levin::fields_of<NetOptions>(
      {{"units", &o.units, "Hidden units"}, {"learning_rate", &o.learning_rate, "Step size"}});
}

class Net : public levin::Module {
 public:
  using Options = NetOptions;
  explicit Net(NetOptions options) : units(options.units) {
    if (units < 1) {
      throw levin::ConfigError::invalid_value("units", std::to_string(units), "must be at least 1");
    }
  }
  int64_t units;
};

struct WideOptions {
  int64_t units = 99;
};
levin::Fields describe(WideOptions& o) {
  return levin::fields_of<WideOptions>({{"units", &o.units, "Hidden units"}});
}
class Wide : public Net {
 public:
  using Options = WideOptions;
  explicit Wide(WideOptions options) : Net({.units = options.units}) {}
};

struct LearnerOptions {
  std::string optimizer = "Adam";
};
levin::Fields describe(LearnerOptions& o) {
  return levin::fields_of<LearnerOptions>({{"optimizer", &o.optimizer, "Its class"}});
}
class Learner : public levin::Module {
 public:
  using Options = LearnerOptions;
  Learner(LearnerOptions options, const levin::OptimizerList& optimizers) {
    optimizers.at(options.optimizer);
  }
};

struct DataOptions {
  int64_t batch_size = 32;
};
levin::Fields describe(DataOptions& o) {
  return levin::fields_of<DataOptions>({{"batch_size", &o.batch_size, "Rows a step"}});
}
class Data : public levin::DataModule {
 public:
  using Options = DataOptions;
  explicit Data(DataOptions) {}
};

struct WatchOptions {
  std::string monitor{};
};
levin::Fields describe(WatchOptions& o) {
  return levin::fields_of<WatchOptions>({{"monitor", &o.monitor, "A metric"}});
}
class Watch : public levin::Callback {
 public:
  using Options = WatchOptions;
  explicit Watch(WatchOptions) {}
  std::string state_key() const override { return "Watch"; }
  void on_train_batch_end(const torch::Tensor&, const levin::Batch&, levin::Step&) override {}
};

struct NoOptions {
  bool quiet = false;
};
levin::Fields describe(NoOptions& o) {
  return levin::fields_of<NoOptions>({{"quiet", &o.quiet, "Say nothing"}});
}
class Log : public levin::Logger {
 public:
  using Options = NoOptions;
  explicit Log(NoOptions) {}
  void start(levin::Run&) override {}
  void log_metrics(const levin::MetricMap&, int64_t, int64_t) override {}
  std::string state_key() const override { return "Log"; }
};

}  // namespace mine

namespace levin::job_test {

Registry registry() {
  Registry classes;
  classes.models.add<mine::Net>("Net", "a net");
  classes.models.add<mine::Wide>("Wide", "a wide net");
  classes.models.add<mine::Learner>("Learner", "a model that names its optimizer");
  classes.datamodules.add<mine::Data>("Data");
  classes.callbacks.add<mine::Watch>("Watch");
  classes.callbacks.add<mine::Watch>("Bar");
  classes.loggers.add<mine::Log>("Log");
  classes.default_callbacks = {{"enable_bar", "Bar", "Show it"}};
  classes.default_loggers = {"Log"};
  return classes;
}

ConfigNode tree(const std::string& yaml, const std::vector<Override>& overrides = {}) {
  ConfigNode root = parse_yaml(yaml, "job.yaml");
  normalise(root);
  for (const auto& each : overrides) apply(root, each);
  normalise(root);
  return root;
}

Job job_of(const std::string& yaml, const std::vector<Override>& overrides = {}) {
  return read_job(registry(), tree(yaml, overrides));
}

std::string error_of(const std::string& yaml) {
  try {
    job_of(yaml);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

std::unique_ptr<mine::Net> net_of(const Job& job) {
  return std::unique_ptr<mine::Net>(dynamic_cast<mine::Net*>(job.model->make().release()));
}

TEST(ConfigJob, a_class_of_ones_own_is_made_with_its_settings) {
  const Job job = job_of("model: {class_path: mine.Net, init_args: {units: 5}}");
  EXPECT_EQ(job.model->name, "Net");
  EXPECT_EQ(net_of(job)->units, 5);
  EXPECT_EQ(net_of(job_of("model: mine::Net"))->units, 8);
}

TEST(ConfigJob, a_swapped_class_keeps_the_settings_it_has) {
  const Job job = job_of("model: {class_path: Net, init_args: {units: 5, learning_rate: 0.5}}",
                         {{"model", parse_argument("Wide")}});
  EXPECT_EQ(net_of(job)->units, 5);
  EXPECT_EQ(job.warnings,
            std::vector<std::string>{"model: Wide doesn't have these settings, which are ignored: "
                                     "learning_rate (job.yaml:1, a setting of Net)"});
}

// The line may be changed in the file as well as on the command line, and for any kind of class.
TEST(ConfigJob, settings_that_only_another_class_of_the_kind_has_are_ignored_with_a_warning) {
  const Job job = job_of(
      "model: {class_path: Wide, init_args: {units: 5, learning_rate: 0.5}}\n"
      "optimizer:\n"
      "  class_path: Adam\n"
      "  init_args:\n"
      "    learning_rate: 0.25\n"
      "    momentum: 0.9\n"
      "    dampening: 0.1\n");
  EXPECT_EQ(net_of(job)->units, 5);
  ASSERT_EQ(job.warnings.size(), 2U);  // one for each class
  EXPECT_EQ(job.warnings[0],
            "model: Wide doesn't have these settings, which are ignored: learning_rate "
            "(job.yaml:1, a setting of Net)");
  EXPECT_EQ(job.warnings[1],
            "optimizer: Adam doesn't have these settings, which are ignored: momentum "
            "(job.yaml:6, a setting of SGD), dampening (job.yaml:7, a setting of SGD)");
  EXPECT_EQ(to_yaml(job, registry(), false).find("momentum"), std::string::npos);
  EXPECT_EQ(job_of(to_yaml(job, registry(), false)).warnings.size(), 0U);
}

TEST(ConfigJob, a_misspelt_setting_of_a_swapped_class_is_an_error_on_the_command_line_too) {
  const ConfigNode root =
      tree("model: {class_path: Net, init_args: {unit: 5}}", {{"model", parse_argument("Wide")}});
  EXPECT_EQ(test::message_of<ConfigError>([&] { read_job(registry(), root); }),
            "job.yaml:1: model: unknown key 'unit'; did you mean 'units'?");
}

TEST(ConfigJob, a_setting_of_the_trainer_at_the_root_is_told_where_it_belongs) {
  for (const std::string key : {"callbacks", "logger", "max_epochs", "enable_bar"}) {
    EXPECT_EQ(error_of("model: Net\n" + key + ": []\n"),
              "job.yaml:2: unknown key '" + key + "'; it belongs under 'trainer'");
  }
  EXPECT_EQ(error_of("callback: []\n").find("belongs"), std::string::npos);
}

TEST(ConfigJob, errors_name_file_line_key_and_the_nearest_name) {
  EXPECT_EQ(error_of("trainer:\n  max_epoch: 3\n"),
            "job.yaml:2: trainer: unknown key 'max_epoch'; did you mean 'max_epochs'?");
  EXPECT_EQ(error_of("\ntrianer: {}\n"),
            "job.yaml:2: unknown key 'trianer'; did you mean 'trainer'?");
  EXPECT_EQ(error_of("model:\n  class_path: Nett\n"),
            "job.yaml:2: model: unknown class 'Nett'; did you mean 'Net'?");
  EXPECT_EQ(error_of("model:\n  class_path: Net\n  init_args:\n    unit: 3\n"),
            "job.yaml:4: model: unknown key 'unit'; did you mean 'units'?");
  EXPECT_EQ(error_of("trainer:\n  callbacks:\n    - class_path: Watch\n      init_args:\n"
                     "        moniter: x\n"),
            "job.yaml:5: trainer.callbacks[0]: unknown key 'moniter'; did you mean 'monitor'?");
  EXPECT_EQ(error_of("trainer:\n  max_epochs: three\n"),
            "job.yaml:2: trainer.max_epochs = \"three\": expected int or null");
  EXPECT_EQ(error_of("model:\n  init_args: {units: 1}\n"),
            "job.yaml:2: model: class_path is missing; it is one of: Net, Wide, Learner");
  EXPECT_EQ(error_of("model:\n  class_path: Net\n  init_arg: {units: 1}\n"),
            "job.yaml:3: model: unknown key 'init_arg'; did you mean 'init_args'?");
  EXPECT_EQ(error_of("ckpt_path: [1]"),
            "job.yaml:1: ckpt_path = [1]: expected a file, \"last\" or \"best\"");
  EXPECT_EQ(error_of("trainer: 5"),
            "job.yaml:1: trainer = 5: expected settings, `key: value` lines");
  EXPECT_EQ(error_of("seed_everything: -1"),
            "job.yaml:1: seed_everything = -1: expected a whole number of at least 0, true (which "
            "means 0), or false (don't seed)");
}

TEST(ConfigJob, trainer_options_that_can_not_be_are_refused_with_their_line) {
  const std::string error = error_of("trainer:\n  max_steps: 4\n  accumulate_grad_batches: 0\n");
  EXPECT_EQ(error.rfind("job.yaml:3: trainer.accumulate_grad_batches = 0: ", 0), 0U) << error;
}

TEST(ConfigJob, values_a_constructor_refuses_get_their_line) {
  const Job job = job_of("model:\n  class_path: Net\n  init_args:\n    units: 0\n");
  try {
    job.model->make();
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "job.yaml:4: model.units = 0: must be at least 1");
  }
}

TEST(ConfigJob, the_seed_may_be_a_number_a_switch_or_left_out) {
  EXPECT_EQ(job_of("seed_everything: 42").seed, 42);
  EXPECT_EQ(job_of("seed_everything: true").seed, 0);
  EXPECT_EQ(job_of("seed_everything: false").seed, std::nullopt);
  EXPECT_EQ(job_of("").seed, 0);
}

TEST(ConfigJob, null_is_lightnings_way_to_say_the_default) {
  const Job job = job_of(
      "trainer: {max_epochs: null, log_every_n_steps: null, check_val_every_n_epoch: null, "
      "val_check_interval: 5, "
      "logger: null, callbacks: null, default_root_dir: null}\nmodel: null\nckpt_path: null");
  EXPECT_EQ(job.trainer->log_every_n_steps, 50);
  EXPECT_EQ(job.trainer->check_val_every_n_epoch, std::nullopt);
  EXPECT_TRUE(job.default_loggers);
  EXPECT_FALSE(job.model);
  EXPECT_EQ(job.ckpt_path, "");
}

TEST(ConfigJob, default_callbacks_can_be_listed_or_switched_off) {
  EXPECT_EQ(job_of("").default_callbacks.size(), 1U);
  EXPECT_EQ(job_of("trainer: {enable_bar: false}").default_callbacks.size(), 0U);
  const Job listed = job_of("trainer: {callbacks: [{class_path: Bar}]}");
  EXPECT_EQ(listed.default_callbacks.size(), 0U);
  EXPECT_EQ(listed.callbacks.size(), 1U);
  EXPECT_EQ(
      error_of("trainer: {enable_bar: false, callbacks: [Bar]}"),
      "job.yaml:1: trainer.enable_bar is false, but trainer.callbacks[0] is a Bar; remove one "
      "of the two");
}

TEST(ConfigJob, loggers_can_be_on_off_one_or_several) {
  EXPECT_EQ(job_of("trainer: {logger: true}").loggers.size(), 1U);
  EXPECT_EQ(job_of("trainer: {logger: false}").loggers.size(), 0U);
  EXPECT_EQ(job_of("trainer: {logger: {class_path: Log, init_args: {quiet: true}}}").loggers.size(),
            1U);
  EXPECT_EQ(job_of("trainer: {logger: [Log, Log]}").loggers.size(), 2U);
}

TEST(ConfigJob, a_callback_tells_which_hooks_inside_a_step_it_uses) {
  const Job job = job_of("trainer: {callbacks: [Watch]}");
  EXPECT_TRUE(job.callbacks[0].hooks.has(BatchHook::train_batch_end));
  EXPECT_FALSE(job.callbacks[0].hooks.has(BatchHook::train_batch_start));
}

TEST(ConfigJob, an_optimizer_and_its_schedule_are_made) {
  const Job job = job_of(
      "optimizer: {class_path: torch.optim.Adam, init_args: {learning_rate: 0.5}}\n"
      "lr_scheduler: {class_path: StepLR, step_size: 3, interval: step, frequency: 2, name: head}");
  const Optimizers made = job.make_optimizers({{"w", torch::zeros({2}, torch::requires_grad())}});
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made.entries()[0].optimizer->groups()[0].learning_rate, 0.5);
  ASSERT_EQ(made.entries()[0].schedulers.size(), 1U);
  EXPECT_EQ(made.entries()[0].schedulers[0].interval, Interval::step);
  EXPECT_EQ(made.entries()[0].schedulers[0].frequency, 2);
  EXPECT_EQ(made.entries()[0].schedulers[0].name, "head");
}

TEST(ConfigJob, a_sequence_of_schedules_is_made_by_names) {
  const Registry classes = registry();
  const std::string yaml =
      "optimizer: {class_path: Adam, learning_rate: 0.5}\n"
      "lr_scheduler:\n"
      "  class_path: SequentialLR\n"
      "  milestones: [2]\n"
      "  schedulers:\n"
      "    - {class_path: ConstantLR, init_args: {factor: 0.5, total_iters: 2}}\n"
      "    - {name: ExponentialLR, gamma: 0.5}\n";
  const std::string printed = to_yaml(job_of(yaml), classes, true);
  for (const auto& text : {yaml, printed}) {
    const Optimizers made =
        job_of(text).make_optimizers({{"w", torch::zeros({2}, torch::requires_grad())}});
    const auto& schedule = *made.entries()[0].schedulers[0].scheduler;
    EXPECT_DOUBLE_EQ(schedule.learning_rate(0.5, 1), 0.25) << text;
    EXPECT_DOUBLE_EQ(schedule.learning_rate(0.5, 3), 0.25) << text;
  }
}

class Halving : public Scheduler {
 public:
  double factor(int64_t counter) const override { return std::pow(0.5, counter); }
};

TEST(ConfigJob, a_sequence_may_have_schedules_of_ones_own) {
  Registry classes = registry();
  classes.schedulers.add<Halving>("Halving", "halves the rate");
  const std::string yaml =
      "optimizer: Adam\n"
      "lr_scheduler: {class_path: SequentialLR, milestones: [2], schedulers: [ConstantLR, "
      "Halving]}\n";
  const Job job = read_job(classes, tree(yaml));
  const Optimizers made = job.make_optimizers({{"w", torch::zeros({2}, torch::requires_grad())}});
  EXPECT_DOUBLE_EQ(made.entries()[0].schedulers[0].scheduler->factor(4), 0.25);
  EXPECT_TRUE(test::says(test::message_of<ConfigError>([&] { job_of(yaml); }), {"Halving"}));
}

TEST(ConfigJob, parameters_get_settings_of_their_own_by_their_names) {
  const Registry classes = registry();
  const std::string yaml =
      "optimizer:\n"
      "  class_path: Adam\n"
      "  learning_rate: 0.5\n"
      "  groups:\n"
      "    - {names: ['*.bias'], weight_decay: 0, learning_rate: 0.25}\n";
  const auto parameter = [] { return torch::zeros({2}, torch::requires_grad()); };
  const NamedTensors named = {{"a.weight", parameter()}, {"a.bias", parameter()}};
  for (const auto& text : {yaml, to_yaml(job_of(yaml), classes, true)}) {
    const Optimizers made = job_of(text).make_optimizers(named);
    const auto& groups = made.entries()[0].optimizer->groups();
    ASSERT_EQ(groups.size(), 2U) << text;
    EXPECT_EQ(groups[0].learning_rate, 0.5);
    EXPECT_EQ(groups[1].learning_rate, 0.25);
    EXPECT_EQ(groups[1].weight_decay, 0.0);
    EXPECT_EQ(groups[1].names, std::vector<std::string>{"a.bias"});
  }
  EXPECT_EQ(error_of("optimizer:\n  class_path: Adam\n  groups:\n    - {name: ['*.bias']}\n"),
            "job.yaml:4: optimizer.groups[0]: unknown key 'name'; did you mean 'names'?");
  EXPECT_EQ(error_of("optimizer:\n  class_path: Adam\n  groups:\n"
                     "    - {names: ['*.bias'], learning_rate: -1}\n"),
            "job.yaml:4: optimizer.groups[0].learning_rate = -1: must be at least 0");
  EXPECT_TRUE(test::says(error_of("optimizer: {class_path: Adam, groups: all}"),
                         {"job.yaml:1: optimizer.groups", "expected a list"}));
  EXPECT_TRUE(test::says(error_of("optimizer: {class_path: LBFGS, groups: [{names: ['*']}]}"),
                         {"job.yaml:1: optimizer.groups with LBFGS"}));
  const Job unused = job_of("optimizer: {class_path: Adam, groups: [{names: '*.bais'}]}");
  EXPECT_TRUE(test::says(test::message_of<ConfigError>([&] { unused.make_optimizers(named); }),
                         {"optimizer.groups: ", "*.bais", "a.bias"}));
}

TEST(ConfigJob, optimizer_settings_are_checked_before_work_starts) {
  const std::string negative =
      error_of("optimizer:\n  class_path: Adam\n  init_args:\n    learning_rate: -1\n");
  EXPECT_EQ(negative.rfind("job.yaml:4: optimizer.learning_rate = -1", 0), 0U) << negative;
  EXPECT_EQ(error_of("lr_scheduler: {class_path: StepLR, step_size: 1}"),
            "job.yaml:1: lr_scheduler needs an optimizer; add `optimizer:`, or leave both to the "
            "model");
  EXPECT_EQ(error_of("optimizer: Adam\nlr_scheduler:\n  class_path: StepLR\n  step_size: 1\n"
                     "  interval: batch\n"),
            "job.yaml:5: lr_scheduler.interval = batch: expected epoch or step");
  const std::string plateau = error_of("optimizer: Adam\nlr_scheduler: ReduceLROnPlateau\n");
  EXPECT_NE(plateau.find("job.yaml:2: lr_scheduler"), std::string::npos) << plateau;
  EXPECT_NE(plateau.find("monitor"), std::string::npos) << plateau;
}

TEST(ConfigJob, a_name_that_a_constructor_does_not_know_gets_its_line) {
  const Job job = job_of("model:\n  class_path: Learner\n  init_args:\n    optimizer: Adamm\n");
  EXPECT_EQ(test::message_of<ConfigError>([&] { job.model->make(); }),
            "job.yaml:4: model: unknown optimizer 'Adamm'; did you mean 'Adam'?");
}

TEST(ConfigJob, a_model_is_made_from_the_optimizers_of_its_registry) {
  Registry classes = registry();
  const Job without = read_job(classes, tree("model: {class_path: Learner, optimizer: Mine}"));
  classes.optimizers.add<Adam>("Mine");
  const Job with = read_job(classes, tree("model: {class_path: Learner, optimizer: Mine}"));
  classes = registry();  // the job keeps what it needs
  EXPECT_NE(with.model->make(), nullptr);
  EXPECT_THROW(without.model->make(), ConfigError);
}

TEST(ConfigJob, what_is_printed_reads_back_as_the_same_job) {
  const std::string yaml =
      "seed_everything: 7\n"
      "trainer: {max_epochs: 3, max_time: '00:00:10:00', limit_val_batches: 0.5, devices: [0],\n"
      "          gradient_clip_val: 1e-3, enable_bar: false, logger: [Log],\n"
      "          callbacks: [{class_path: Watch, init_args: {monitor: 'a: b # c'}}]}\n"
      "model: {class_path: Net, init_args: {units: 5}}\n"
      "data: Data\n"
      "optimizer: Adam\n"
      "lr_scheduler: {class_path: ReduceLROnPlateau, monitor: val_loss, frequency: 2}\n"
      "ckpt_path: some/file.ckpt\n";
  const Registry classes = registry();
  for (const bool comments : {false, true}) {
    const std::string printed = to_yaml(job_of(yaml), classes, comments);
    EXPECT_EQ(printed.find('#') != std::string::npos &&
                  printed.find("# Hidden units") != std::string::npos,
              comments)
        << printed;
    EXPECT_EQ(to_yaml(job_of(printed), classes, comments), printed);
    EXPECT_EQ(to_yaml(job_of(printed), classes, false), to_yaml(job_of(yaml), classes, false));
  }
  const std::string empty = to_yaml(job_of(""), classes, true);
  EXPECT_EQ(to_yaml(job_of(empty), classes, true), empty);
  EXPECT_NE(empty.find("max_epochs: null"), std::string::npos) << empty;
}

TEST(ConfigJob, text_in_brackets_from_the_command_line_is_printed_so_that_it_reads_back) {
  const Registry classes = registry();
  for (const char* text : {"{epoch}", "{epoch}-{val_loss}", "[1].csv", "[1]"}) {
    const Job job = job_of(
        "trainer: {callbacks: [Watch]}",
        {{"trainer.callbacks.monitor", parse_argument(text)}, {"ckpt_path", parse_argument(text)}});
    EXPECT_EQ(job.callbacks.front().fields.front().get(), Value(text));
    EXPECT_EQ(job.ckpt_path, text);
    const std::string printed = to_yaml(job, classes, false);
    EXPECT_EQ(job_of(printed).callbacks.front().fields.front().get(), Value(text)) << printed;
    EXPECT_EQ(to_yaml(job_of(printed), classes, false), printed);
  }
}

TEST(ConfigJob, comments_stand_in_one_column_and_do_not_change_the_text) {
  const std::string yaml =
      "trainer: {callbacks: [{class_path: Watch, init_args: {monitor: loss}}, Bar], logger: "
      "[Log]}\n"
      "model: Net\n";
  const std::string plain = to_yaml(job_of(yaml), registry(), false);
  const std::string printed = to_yaml(job_of(yaml), registry(), true);
  EXPECT_NE(plain.find("\n  callbacks:\n"
                       "    - class_path: Watch\n"
                       "      init_args:\n"
                       "        monitor: loss\n"
                       "    - class_path: Bar\n"),
            std::string::npos)
      << plain;
  std::string without;
  std::istringstream lines(printed);
  for (std::string line; std::getline(lines, line);) {
    const size_t comment = line.find("  # ");
    if (comment != std::string::npos) {
      const size_t end = line.find_last_not_of(' ', comment);
      EXPECT_EQ(comment + 2, std::max<size_t>(end + 3, 46)) << line;
      line.resize(end + 1);
    }
    without += line + "\n";
  }
  EXPECT_EQ(without, plain);
  EXPECT_TRUE(test::says(printed, {"\n  callbacks:                                  # a list of "
                                   "Watch, Bar\n",
                                   "# Hidden units\n", "\ndata: null ", "seed_everything: 0 "}))
      << printed;
}

TEST(ConfigJob, every_setting_is_printed) {
  const Job job = job_of("model: Net");
  const std::string printed = to_yaml(job, registry(), false);
  for (const auto& field : job.trainer_settings.fields) {
    EXPECT_NE(printed.find("\n  " + field.name + ": "), std::string::npos) << field.name;
  }
  EXPECT_NE(printed.find("    learning_rate: 0.1\n"), std::string::npos) << printed;
}

}  // namespace levin::job_test
