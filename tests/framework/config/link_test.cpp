#include <levin/framework/config/link.h>

#include <gtest/gtest.h>

#include <levin/framework/config/job.h>
#include <levin/framework/config/yaml.h>

#include "framework/message_of.h"

namespace levin::link_test {

struct NetOptions {
  int64_t units = 8;
  double rate = 0.5;
  std::string title = "net";
};
Fields describe(NetOptions& o) {
  return fields_of<NetOptions>(
      {{"units", &o.units, "Units"}, {"rate", &o.rate, "Rate"}, {"title", &o.title, "Title"}});
}
class Net : public Module {
 public:
  using Options = NetOptions;
  explicit Net(NetOptions) {}
};
class Bare : public Module {};

struct RowsOptions {
  int64_t width = 3;
  int64_t seed = 1;
  std::string path = "0012";
};
Fields describe(RowsOptions& o) {
  return fields_of<RowsOptions>(
      {{"width", &o.width, "Width"}, {"seed", &o.seed, "Seed"}, {"path", &o.path, "Path"}});
}
class Rows : public DataModule {
 public:
  using Options = RowsOptions;
  explicit Rows(RowsOptions) {}
};

struct WatchOptions {
  std::string monitor = "loss";
};
Fields describe(WatchOptions& o) {
  return fields_of<WatchOptions>({{"monitor", &o.monitor, "Metric"}});
}
class Watch : public Callback {
 public:
  using Options = WatchOptions;
  explicit Watch(WatchOptions) {}
  std::string state_key() const override { return "Watch"; }
};

Registry registry() {
  Registry classes;
  classes.models.add<Net>("Net");
  classes.models.add<Bare>("Bare");
  classes.datamodules.add<Rows>("Rows");
  classes.callbacks.add<Watch>("Watch");
  classes.callbacks.add<Watch>("Keep");
  return classes;
}

ConfigNode tree(const std::vector<std::string>& layers, const std::vector<Override>& overrides) {
  ConfigNode root = ConfigNode::object({"command line", 0});
  for (size_t i = 0; i < layers.size(); ++i) {
    ConfigNode layer = parse_yaml(layers[i], i == 0 ? "a.yaml" : "b.yaml");
    normalise(layer);
    merge(root, std::move(layer));
  }
  for (const auto& each : overrides) apply(root, each);
  normalise(root);
  return root;
}

Override option(const std::string& path, const std::string& value) {
  return {path, parse_argument(value)};
}

Job job_of(const std::vector<std::string>& layers, const std::vector<Override>& overrides = {},
           const Registry& classes = registry()) {
  return read_job(classes, tree(layers, overrides));
}

std::string error_of(const std::vector<std::string>& layers,
                     const std::vector<Override>& overrides = {}) {
  return test::message_of<ConfigError>([&] { job_of(layers, overrides); });
}

Value setting(const Chosen& chosen, std::string_view name) {
  for (const auto& field : chosen.fields) {
    if (field.name == name) return field.get();
  }
  ADD_FAILURE() << "no setting " << name;
  return {};
}

const std::string kParts = "model: Net\ndata: {class_path: Rows, init_args: {width: 5}}\n";

TEST(ConfigLink, gives_the_source_to_the_target_however_it_is_written) {
  for (const char* links :
       {"links: {model.units: data.width}", "links: {model: {units: data.width}}",
        "links: {model.init_args.units: data.init_args.width}",
        "links:\n  model:\n    init_args.units: data.width"}) {
    EXPECT_EQ(setting(*job_of({kParts + links}).model, "units"), Value(5)) << links;
  }
  const auto linked = job_of({kParts}, {option("links.model.units", "data.width")});
  EXPECT_EQ(setting(*linked.model, "units"), Value(5));
  EXPECT_EQ(setting(*job_of({kParts}).model, "units"), Value(8));
}

TEST(ConfigLink, sees_what_later_files_and_the_command_line_say_of_the_source) {
  const std::string links = kParts + "links: {model.units: data.width}\n";
  EXPECT_EQ(setting(*job_of({links, "data: {width: 6}"}).model, "units"), Value(6));
  EXPECT_EQ(setting(*job_of({links}, {option("data.width", "7")}).model, "units"), Value(7));
  EXPECT_EQ(
      setting(*job_of({"model: Net\ndata: Rows\nlinks: {model.units: data.width}"}).model, "units"),
      Value(3))
      << "the default of the source";
}

TEST(ConfigLink, later_files_and_the_command_line_replace_and_remove_links) {
  const std::string links = kParts + "links: {model.units: data.width, model.rate: data.width}\n";
  const Job job = job_of({links, "links: {model.units: data.seed}"},
                         {option("links.model.rate", "null"), option("model.rate", "0.25")});
  EXPECT_EQ(setting(*job.model, "units"), Value(1));
  EXPECT_EQ(setting(*job.model, "rate"), Value(0.25));
}

TEST(ConfigLink, keeps_the_type_and_the_text_of_the_source) {
  const Job job =
      job_of({"model: Net\ndata: Rows\n"
              "links: {model.title: data.path, model.rate: data.width,\n"
              "        trainer.default_root_dir: model.title}\n"});
  EXPECT_EQ(setting(*job.model, "title"), Value("0012"));
  EXPECT_EQ(setting(*job.model, "rate"), Value(3.0));
  EXPECT_EQ(job.trainer->default_root_dir, "0012") << "of a source that is linked itself";
  EXPECT_EQ(error_of({"model: Net\ndata: Rows\nlinks:\n  model.units: data.path\n"}),
            "a.yaml:4 (linked to data.path): model.units = \"0012\": expected int");
}

TEST(ConfigLink, reaches_the_trainer_its_lists_the_scheduler_and_the_seed) {
  const Job job =
      job_of({"seed_everything: 9\ndata: Rows\n"
              "trainer: {max_epochs: 4, callbacks: [{class_path: Watch, monitor: auc}, "
              "Keep, Watch]}\n"
              "optimizer: {class_path: SGD, learning_rate: 0.5}\n"
              "lr_scheduler: {class_path: CosineAnnealingLR}\n"
              "links:\n"
              "  data.seed: seed_everything\n"
              "  lr_scheduler.T_max: trainer.max_epochs\n"
              "  lr_scheduler.monitor: trainer.callbacks.0.monitor\n"
              "  trainer.callbacks.Keep.monitor: lr_scheduler.monitor\n"});
  EXPECT_EQ(setting(*job.data, "seed"), Value(9));
  EXPECT_EQ(setting(*job.lr_scheduler, "T_max"), Value(4));
  EXPECT_EQ(job.schedule.monitor, "auc");
  EXPECT_EQ(setting(job.callbacks[1], "monitor"), Value("auc"));
  EXPECT_EQ(setting(job.callbacks[2], "monitor"), Value("loss"));
}

TEST(ConfigLink, a_target_that_is_set_as_well_is_refused_with_both_places) {
  const std::string both = "model: {class_path: Net, units: 2}\ndata: Rows\n";
  EXPECT_EQ(error_of({both, "links: {model.units: data.width}"}),
            "a.yaml:1: model.units is set, but b.yaml:1 links it to data.width; remove one of the "
            "two; `--links.model.units=null` removes the link");
  EXPECT_EQ(error_of({kParts + "links: {model.units: data.width}"}, {option("model.units", "2")})
                .substr(0, 46),
            "command line: model.units is set, but a.yaml:3");
}

TEST(ConfigLink, mistakes_name_the_place_and_the_nearest_name) {
  const auto error = [](const std::string& links) {
    return error_of({"model: Net\ndata: Rows\ntrainer: {callbacks: [Watch, Watch]}\nlinks:\n  " +
                     links + "\n"});
  };
  EXPECT_EQ(error("model.unit: data.width"),
            "a.yaml:5: links.model.unit: unknown setting 'unit'; did you mean 'units'?");
  EXPECT_EQ(error("model.units: data.widht"),
            "a.yaml:5: links.model.units: data.widht: unknown setting 'widht'; did you mean "
            "'width'?");
  EXPECT_EQ(error("modle.units: data.width"),
            "a.yaml:5: links.modle.units: unknown part 'modle'; did you mean 'model'?");
  EXPECT_EQ(error("model.units: trainer.max_epoch"),
            "a.yaml:5: links.model.units: trainer.max_epoch: unknown setting 'max_epoch'; did you "
            "mean 'max_epochs'?");
  EXPECT_EQ(error("optimizer.learning_rate: model.rate"),
            "a.yaml:5: links.optimizer.learning_rate: 'optimizer.learning_rate' is a setting of "
            "`optimizer`, which the configuration doesn't have");
  EXPECT_EQ(error("trainer.callbacks.Watch.monitor: model.title"),
            "a.yaml:5: links.trainer.callbacks.Watch.monitor: 'trainer.callbacks.Watch.monitor': "
            "there are several of Watch; give its number, 0 or 1");
  EXPECT_EQ(error("trainer.callbacks.Watcher.monitor: model.title"),
            "a.yaml:5: links.trainer.callbacks.Watcher.monitor: unknown item 'Watcher'; did you "
            "mean 'Watch'?");
  EXPECT_EQ(error("model: data"), "a.yaml:5: links.model: 'model' names no setting");
  EXPECT_EQ(error("model.units: [data.width, data.seed]"),
            "a.yaml:5: links.model.units = [\"data.width\",\"data.seed\"]: expected the name of "
            "one setting, such as data.batch_size; what is computed from several needs a program "
            "(Registry::link_arguments)");
  EXPECT_EQ(error("{model.units: data.width, model: {units: data.seed}}"),
            "a.yaml:5: links: the target 'model.units' is there twice, first at a.yaml:5; remove "
            "one");
  EXPECT_EQ(error("{model.units: data.width, data.width: data.seed, data.seed: model.units}"),
            "a.yaml:5: links.data.seed: the links go in a circle: model.units -> data.width -> "
            "data.seed -> model.units; remove one of them");
  EXPECT_EQ(error("data.seed: data.seed"),
            "a.yaml:5: links.data.seed: the links go in a circle: data.seed -> data.seed; remove "
            "one of them");
}

TEST(ConfigLink, a_class_without_the_target_ignores_the_link_with_a_warning) {
  const Job job = job_of({"model: Bare\ndata: Rows\nlinks: {model.units: data.width}"});
  EXPECT_EQ(job.warnings,
            std::vector<std::string>{"model: Bare doesn't have these settings, which are ignored: "
                                     "units (a.yaml:3 (linked to data.width), a setting of Net)"});
  EXPECT_EQ(error_of({"model: Bare\ndata: Rows\nlinks: {data.width: model.units}"}),
            "a.yaml:3: links.data.width: model.units: unknown setting 'units'; there are none")
      << "a source must have a value";
}

TEST(ConfigLink, is_saved_so_that_the_file_runs_again_and_the_source_can_change) {
  const std::string yaml =
      "model: Net\ndata: Rows\ntrainer: {max_epochs: 6, callbacks: [Watch, Keep]}\n"
      "links: {model.units: data.width, trainer.callbacks.Keep.monitor: model.title,\n"
      "        trainer.log_every_n_steps: model.units}\n";
  const Registry classes = registry();
  for (const bool comments : {false, true}) {
    const std::string saved = to_yaml(job_of({yaml}), classes, comments);
    EXPECT_EQ(saved.find("units: 3"), std::string::npos) << saved;
    EXPECT_EQ(saved.find("model.units: data.width") != std::string::npos, true) << saved;
    EXPECT_EQ(saved.find("# now 3") != std::string::npos, comments) << saved;
    EXPECT_EQ(to_yaml(job_of({saved}), classes, comments), saved);
    const Job again = job_of({saved}, {option("data.width", "7")});
    EXPECT_EQ(setting(*again.model, "units"), Value(7));
    EXPECT_EQ(setting(again.callbacks[1], "monitor"), Value("net"));
    EXPECT_EQ(again.trainer->log_every_n_steps, 7);
  }
}

TEST(ConfigLink, a_detached_target_keeps_its_value_in_the_saved_file) {
  Registry classes = registry();
  classes.link_arguments("seed_everything", "data.seed");
  Job job = job_of({"seed_everything: 5\ndata: Rows\n"}, {}, classes);
  ASSERT_EQ(setting(*job.data, "seed"), Value(5));
  job.seed = 6;
  detach_links(job.links, "seed_everything");
  const Job again = job_of({to_yaml(job, classes, false)}, {}, classes);
  EXPECT_EQ(again.seed, 6);
  EXPECT_EQ(setting(*again.data, "seed"), Value(5));
}

TEST(ConfigLink, of_a_configuration_that_was_detached_is_not_there_in_the_saved_file) {
  const Registry classes = registry();
  Job job =
      job_of({"seed_everything: 5\ndata: Rows\nlinks: {data.seed: seed_everything}"}, {}, classes);
  detach_links(job.links, "seed_everything");
  const std::string saved = to_yaml(job, classes, false);
  EXPECT_EQ(saved.find("data.seed"), std::string::npos) << saved;
  EXPECT_EQ(setting(*job_of({saved}, {}, classes).data, "seed"), Value(5));
}

TEST(ConfigLink, of_a_program_that_was_removed_stays_removed_in_the_saved_file) {
  Registry classes = registry();
  classes.link_arguments("data.width", "model.units");
  for (const bool comments : {false, true}) {
    const Job job = job_of({kParts}, {option("links.model.units", "null")}, classes);
    EXPECT_EQ(setting(*job.model, "units"), Value(8));
    const Job again = job_of({to_yaml(job, classes, comments)}, {}, classes);
    EXPECT_EQ(setting(*again.model, "units"), Value(8));
  }
}

TEST(ConfigLink, null_removes_only_links_that_are_there) {
  const std::string links = kParts + "links: {model.units: data.width}\n";
  EXPECT_EQ(error_of({links}, {option("links.model.unit", "null")}),
            "command line: links.model.unit = null, which removes a link: unknown link "
            "'model.unit'; did you mean 'model.units'?");
  EXPECT_EQ(error_of({kParts + "links:\n  data.seed: null\n"}),
            "a.yaml:4: links.data.seed = null, which removes a link: unknown link 'data.seed'; "
            "there are none");
  EXPECT_EQ(error_of({kParts + "links: {data.seed: null}"}, {option("links.data.seed", "null")})
                .substr(0, 36),
            "command line: links.data.seed = null");
  EXPECT_EQ(setting(*job_of({links}, {option("links.model.units", "null"),
                                      option("links.model.units", "null")})
                         .model,
                    "units"),
            Value(8))
      << "it may be said twice";
}

TEST(ConfigLink, of_a_program_is_left_out_where_a_configuration_lacks_its_settings) {
  Registry classes = registry();
  classes.link_arguments("data.width", "model.units");
  classes.link_arguments("trainer.callbacks.Keep.monitor", "trainer.callbacks.Watch.monitor");
  EXPECT_EQ(setting(*job_of({"model: Net"}, {}, classes).model, "units"), Value(8));
  EXPECT_TRUE(job_of({"data: Rows"}, {}, classes).links.empty());
  const Job bare = job_of({"model: Bare\ndata: Rows"}, {}, classes);
  EXPECT_TRUE(bare.links.empty());
  EXPECT_TRUE(bare.warnings.empty());
  const Job watched = job_of({"trainer: {callbacks: [Watch]}"}, {}, classes);
  EXPECT_EQ(setting(watched.callbacks[0], "monitor"), Value("loss"));
  const Job both =
      job_of({"trainer: {callbacks: [Watch, {class_path: Keep, monitor: auc}]}"}, {}, classes);
  EXPECT_EQ(setting(both.callbacks[0], "monitor"), Value("auc"));
  classes.link_arguments("data.widht", "model.units");
  EXPECT_TRUE(test::says(test::message_of<ConfigError>([&] { job_of({kParts}, {}, classes); }),
                         {"link_arguments: links.model.units"}));
}

TEST(ConfigLink, a_program_has_links_that_compute_and_that_configurations_can_replace) {
  Registry classes = registry();
  classes.link_arguments("data.width", "model.units");
  classes.link_arguments({"data.width", "data.seed"}, "trainer.log_every_n_steps",
                         [](const std::vector<Value>& values) {
                           return Value(values[0].as_int() * 10 + values[1].as_int());
                         });
  const Job job = job_of({kParts}, {}, classes);
  EXPECT_EQ(setting(*job.model, "units"), Value(5));
  EXPECT_EQ(job.trainer->log_every_n_steps, 51);
  const std::string saved = to_yaml(job, classes, false);
  EXPECT_EQ(saved.find("log_every_n_steps"), std::string::npos) << saved;
  EXPECT_EQ(to_yaml(job_of({saved}, {}, classes), classes, false), saved);
  EXPECT_EQ(
      setting(*job_of({kParts + "links: {model.units: data.seed}"}, {}, classes).model, "units"),
      Value(1));
  EXPECT_EQ(test::message_of<ConfigError>(
                [&] { job_of({kParts + "trainer: {log_every_n_steps: 1}"}, {}, classes); }),
            "a.yaml:3: trainer.log_every_n_steps is set, but link_arguments links it to "
            "data.width, data.seed; remove one of the two; `--links.trainer.log_every_n_steps=null`"
            " removes the link");
}

}  // namespace levin::link_test
