#include <levin/framework/run/trainer_options.h>

#include <gtest/gtest.h>

#include <limits>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::trainer_options_test {

using test::message_of;
using test::says;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string refusal(const TrainerOptions& options) {
  return message_of<ConfigError>([&] { validate(options); });
}

TEST(TrainerOptionsDescribe, lists_every_field_with_the_default_of_the_struct) {
  TrainerOptions options;
  const Fields fields = describe(options);
  EXPECT_EQ(fields.size(),
            detail::field_count<TrainerOptions>());  // describe() doesn't compile else
  std::set<std::string> names;
  std::set<const void*> places;
  for (const auto& field : fields) {
    EXPECT_TRUE(names.insert(field.name).second) << field.name;
    EXPECT_TRUE(
        places.insert(std::visit([](auto* p) -> const void* { return p; }, field.value)).second)
        << field.name;
    EXPECT_FALSE(field.help.empty()) << field.name;
  }
  EXPECT_EQ(to_value(fields), Value::from_json(R"({
    "accelerator": "auto", "devices": "auto", "num_nodes": 1, "strategy": "auto",
    "precision": "32-true", "max_restarts": 0, "max_epochs": null, "min_epochs": null,
    "max_steps": -1, "min_steps": null, "max_time": "", "limit_train_batches": 1.0,
    "limit_val_batches": 1.0, "limit_test_batches": 1.0, "limit_predict_batches": 1.0,
    "val_check_interval": 1.0, "check_val_every_n_epoch": 1, "num_sanity_val_steps": 2,
    "overfit_batches": 0.0, "reload_dataloaders_every_n_epochs": 0, "fast_dev_run": false, "accumulate_grad_batches": 1,
    "gradient_clip_val": null, "gradient_clip_algorithm": "norm", "log_every_n_steps": 50,
    "deterministic": false, "benchmark": null, "detect_anomaly": false, "inference_mode": true, "threads": "",
    "cuda_graph": "auto", "data_on_device": "auto",
    "profiler": "", "default_root_dir": "", "find_unused_parameters": false,
    "broadcast_buffers": true, "gradient_as_bucket_view": false, "bucket_cap_mb": 25.0,
    "gradient_compression": "none", "process_group_backend": "auto",
    "process_group_timeout": 1800.0, "heartbeat_timeout": 10.0, "sync_batchnorm": false,
    "prepare_data_per_node": true, "model_averaging": "none", "pipeline_size": 1,
    "pipeline_schedule": "1f1b", "pipeline_chunks": 0, "micro_batches": 0,
    "gradient_deadline": "none", "tensor_size": 1, "parameter_server": "bsp"})"));
}

TEST(TrainerOptionsDescribe, a_round_trip_gives_the_same_options) {
  TrainerOptions options{.accelerator = "cpu",
                         .devices = 2,
                         .max_epochs = 3,
                         .max_time = "01:00",
                         .limit_train_batches = 7,
                         .limit_val_batches = 0.5,
                         .check_val_every_n_epoch = std::nullopt,
                         .fast_dev_run = 4,
                         .gradient_clip_val = 0.25,
                         .deterministic = true};
  const Value saved = to_value(describe(options));
  TrainerOptions other;
  from_value(describe(other), saved, "trainer");
  EXPECT_EQ(to_value(describe(other)), saved);
  EXPECT_TRUE(other.limit_train_batches.is_count());
  EXPECT_FALSE(other.limit_val_batches.is_count());
  EXPECT_EQ(other.check_val_every_n_epoch, std::nullopt);
}

TEST(TrainerOptionsValidate, takes_the_defaults_and_the_limits_of_each_option) {
  validate(TrainerOptions{});
  validate(TrainerOptions{.max_epochs = -1, .min_epochs = 0, .max_steps = -1, .min_steps = 0});
  validate(TrainerOptions{.max_epochs = 0, .max_steps = 0, .max_time = "00:00:00:01"});
  validate(TrainerOptions{
      .limit_train_batches = 0, .limit_val_batches = 0.0, .limit_test_batches = 1.0});
  validate(
      TrainerOptions{.val_check_interval = 1, .num_sanity_val_steps = -1, .overfit_batches = 0.01});
  validate(TrainerOptions{.val_check_interval = 100, .check_val_every_n_epoch = std::nullopt});
  validate(TrainerOptions{.fast_dev_run = true,
                          .gradient_clip_val = 0.0,
                          .gradient_clip_algorithm = "value",
                          .log_every_n_steps = 0});
}

TEST(TrainerOptionsValidate, refuses_counts_below_their_least) {
  EXPECT_EQ(refusal({.max_epochs = -2}), "max_epochs = -2: must be at least -1");
  EXPECT_EQ(refusal({.min_epochs = -1}), "min_epochs = -1: must be at least 0");
  EXPECT_EQ(refusal({.max_steps = -2}), "max_steps = -2: must be at least -1");
  EXPECT_EQ(refusal({.min_steps = -1}), "min_steps = -1: must be at least 0");
  EXPECT_EQ(refusal({.check_val_every_n_epoch = 0}),
            "check_val_every_n_epoch = 0: must be at least 1");
  EXPECT_EQ(refusal({.num_sanity_val_steps = -2}),
            "num_sanity_val_steps = -2: must be at least -1");
  EXPECT_EQ(refusal({.fast_dev_run = -1}), "fast_dev_run = -1: must be at least 0");
  EXPECT_EQ(refusal({.accumulate_grad_batches = 0}),
            "accumulate_grad_batches = 0: must be at least 1");
  EXPECT_EQ(refusal({.log_every_n_steps = -1}), "log_every_n_steps = -1: must be at least 0");
}

TEST(TrainerOptionsValidate, refuses_what_cannot_be_a_set_of_ranks) {
  EXPECT_EQ(refusal({.num_nodes = 0}), "num_nodes = 0: must be at least 1");
  EXPECT_EQ(refusal({.max_restarts = -1}), "max_restarts = -1: must be at least 0");
  EXPECT_TRUE(says(refusal({.strategy = "dpp"}), {"dpp", "ddp"}));
  EXPECT_TRUE(says(refusal({.gradient_compression = "fp8"}), {"fp8", "fp16"}));
  EXPECT_TRUE(says(refusal({.strategy = "zero_stage_2", .gradient_compression = "one_bit"}),
                   {"one_bit", "zero_stage_2", "zero_stage_1"}));
  EXPECT_TRUE(says(refusal({.precision = "16-mixed", .gradient_compression = "topk"}),
                   {"topk", "16-mixed", "bf16-mixed"}));
  EXPECT_TRUE(says(refusal({.gradient_compression = {"powersgd", Value::Object{{"rang", 2}}}}),
                   {"powersgd", "rang", "rank"}));
  EXPECT_TRUE(says(refusal({.gradient_compression = {"powersgd", Value::Object{{"rank", 0}}}}),
                   {"powersgd", "rank = 0", "at least 1"}));
  EXPECT_TRUE(says(refusal({.process_group_backend = "mpi"}), {"mpi", "gloo"}));
  EXPECT_TRUE(says(refusal({.model_averaging = "dilco"}), {"dilco", "diloco"}));
  EXPECT_TRUE(says(refusal({.model_averaging = {"local_sgd", Value::Object{{"period", 0}}}}),
                   {"local_sgd", "period = 0", "at least 1"}));
  EXPECT_TRUE(says(refusal({.strategy = "zero_stage_1", .model_averaging = "diloco"}),
                   {"diloco", "zero_stage_1", "ddp"}));
  EXPECT_TRUE(says(refusal({.precision = "16-mixed", .model_averaging = "local_sgd"}),
                   {"local_sgd", "16-mixed", "bf16-mixed"}));
  EXPECT_TRUE(says(refusal({.gradient_compression = "fp16", .model_averaging = "local_sgd"}),
                   {"local_sgd", "fp16", "one of the two"}));
  EXPECT_TRUE(says(refusal({.sync_batchnorm = true, .model_averaging = "local_sgd"}),
                   {"local_sgd", "sync_batchnorm", "leave it out"}));
  EXPECT_TRUE(says(refusal({.gradient_deadline = "dorp"}), {"gradient_deadline", "dorp", "drop"}));
  const auto late = [](const char* setting, Value value) {
    return NamedSettings("drop", Value::Object{{setting, std::move(value)}});
  };
  EXPECT_TRUE(says(refusal({.gradient_deadline = late("seconds", 0.0)}),
                   {"gradient_deadline: drop", "seconds = 0", "above 0"}));
  EXPECT_TRUE(says(refusal({.gradient_deadline = late("warmup_steps", -1)}), {"at least 0"}));
  EXPECT_TRUE(says(refusal({.gradient_deadline = late("max_steps_behind", 0)}), {"at least 1"}));
  EXPECT_TRUE(says(refusal({.gradient_deadline = late("second", 1.0)}), {"second", "seconds"}));
  validate({.gradient_deadline = {"fold", Value::Object{{"seconds", 0.5}}}});
  EXPECT_TRUE(says(refusal({.strategy = "zero_stage_1", .gradient_deadline = "drop"}),
                   {"gradient_deadline = drop", "zero_stage_1", "ddp"}));
  EXPECT_TRUE(says(refusal({.precision = "16-mixed", .gradient_deadline = "drop"}),
                   {"gradient_deadline", "16-mixed", "bf16-mixed"}));
  for (const auto& options :
       {TrainerOptions{.find_unused_parameters = true},
        TrainerOptions{.gradient_compression = "fp16"},
        TrainerOptions{.process_group_backend = "nccl"}, TrainerOptions{.sync_batchnorm = true},
        TrainerOptions{.model_averaging = "local_sgd"}, TrainerOptions{.pipeline_size = 2}}) {
    auto both = options;
    both.gradient_deadline = "fold";
    EXPECT_TRUE(says(refusal(both), {"gradient_deadline = fold with "}));
  }
  EXPECT_EQ(refusal({.bucket_cap_mb = 0.0}), "bucket_cap_mb = 0: must be above 0");
  EXPECT_EQ(refusal({.heartbeat_timeout = kNan}), "heartbeat_timeout = nan: must be above 0");
}

TEST(TrainerOptionsValidate, refuses_what_parameter_servers_cannot_do) {
  const auto served = [](NamedSettings servers) {
    TrainerOptions options;
    options.strategy = "parameter_server";
    options.parameter_server = std::move(servers);
    return options;
  };
  const auto with = [](const char* name, Value value) {
    return Value(Value::Object{{name, std::move(value)}});
  };
  validate(served("bsp"));
  validate(served({"ssp", Value::Object{{"servers", 2}, {"staleness", 4}}}));
  EXPECT_TRUE(says(refusal(served("asb")), {"parameter_server", "asb", "asp"}));
  EXPECT_TRUE(says(refusal(served({"bsp", with("server", 2)})), {"bsp", "server", "servers"}));
  EXPECT_TRUE(says(refusal(served({"bsp", with("servers", 0)})), {"servers = 0", "at least 1"}));
  EXPECT_TRUE(says(refusal(served({"ssp", with("staleness", 0)})), {"staleness = 0"}));
  EXPECT_TRUE(says(refusal(served({"asp", with("staleness", 3)})), {"asp", "staleness", "ssp"}));
  validate(served({"asp", with("delay_compensation", 0.5)}));
  EXPECT_TRUE(says(refusal(served({"asp", with("delay_compensation", -1.0)})), {"0 or more"}));
  EXPECT_TRUE(says(refusal(served({"bsp", with("delay_compensation", 0.5)})), {"bsp", "asp"}));
  EXPECT_TRUE(says(refusal({.parameter_server = "asp"}),
                   {"parameter_server = asp with strategy = auto", "strategy = parameter_server"}));
  auto options = served("bsp");
  options.gradient_compression = "one_bit";
  EXPECT_TRUE(says(refusal(options), {"parameter_server", "one_bit", "ddp"}));
  options = served("bsp");
  options.model_averaging = "local_sgd";
  EXPECT_TRUE(says(refusal(options), {"parameter_server", "local_sgd", "ddp"}));
  options = served("bsp");
  options.pipeline_size = 2;
  EXPECT_TRUE(says(refusal(options), {"parameter_server", "pipeline_size = 2"}));
  options = served("bsp");
  options.precision = "16-mixed";
  EXPECT_TRUE(says(refusal(options), {"16-mixed", "bf16-mixed"}));
  options = served("asp");
  options.sync_batchnorm = true;
  EXPECT_TRUE(says(refusal(options), {"sync_batchnorm", "bsp"}));
  options = served({"bsp", with("servers", 2)});
  options.gradient_clip_val = 0.5;
  EXPECT_TRUE(says(refusal(options), {"gradient_clip_val = 0.5 and 2 servers", "servers = 1"}));
  options = served("bsp");
  options.gradient_clip_val = 0.5;
  validate(options);
  options.gradient_clip_algorithm = "value";
  EXPECT_TRUE(says(refusal(options), {"gradient_clip_algorithm = value", "norm"}));
  options.parameter_server = "asp";
  validate(options);
}

TEST(TrainerOptionsValidate, refuses_limits_outside_their_range) {
  const std::pair<const char*, CountOrFraction TrainerOptions::*> limits[] = {
      {"limit_train_batches", &TrainerOptions::limit_train_batches},
      {"limit_val_batches", &TrainerOptions::limit_val_batches},
      {"limit_test_batches", &TrainerOptions::limit_test_batches},
      {"limit_predict_batches", &TrainerOptions::limit_predict_batches},
      {"overfit_batches", &TrainerOptions::overfit_batches}};
  for (const auto& [name, member] : limits) {
    for (const CountOrFraction& value : {CountOrFraction(-1), CountOrFraction(-0.1),
                                         CountOrFraction(1.5), CountOrFraction(kNan)}) {
      TrainerOptions options;
      options.*member = value;
      EXPECT_TRUE(says(refusal(options), {std::string(name) + " = "}));
    }
  }
}

TEST(TrainerOptionsValidate, refuses_a_validation_interval_of_nothing) {
  for (const CountFractionOrTime& zero : {CountFractionOrTime(0), CountFractionOrTime(0.0)}) {
    EXPECT_TRUE(says(refusal({.val_check_interval = zero}),
                     {"val_check_interval = 0", "limit_val_batches"}));
  }
  EXPECT_TRUE(says(refusal({.val_check_interval = "00:00"}), {"val_check_interval = 00:00"}));
}

TEST(TrainerOptionsValidate, refuses_a_validation_interval_that_is_none) {
  for (const CountFractionOrTime& value : {CountFractionOrTime(-1), CountFractionOrTime(-0.1),
                                           CountFractionOrTime(1.5), CountFractionOrTime(kNan)}) {
    EXPECT_TRUE(says(refusal({.val_check_interval = value}), {"val_check_interval = "}));
  }
  EXPECT_TRUE(says(refusal({.val_check_interval = "often"}),
                   {"val_check_interval = often", "DD:HH:MM:SS"}));
}

TEST(TrainerOptionsValidate, takes_one_word_beside_the_switch_deterministic) {
  validate({.deterministic = "warn"});
  EXPECT_TRUE(says(refusal({.deterministic = "wran"}), {"deterministic = wran", "warn"}));
}

TEST(TrainerOptionsValidate, counting_across_epochs_needs_a_count) {
  EXPECT_TRUE(says(refusal({.check_val_every_n_epoch = std::nullopt}),
                   {"check_val_every_n_epoch = null", "val_check_interval"}));
  EXPECT_TRUE(says(refusal({.val_check_interval = 0.5, .check_val_every_n_epoch = std::nullopt}),
                   {"check_val_every_n_epoch = null"}));
  validate({.val_check_interval = "00:30:00", .check_val_every_n_epoch = std::nullopt});
}

TEST(TrainerOptionsValidate, refuses_clipping_that_cannot_be) {
  EXPECT_EQ(refusal({.gradient_clip_val = -0.5}),
            "gradient_clip_val = -0.5: must be at least 0; null or 0: gradients aren't clipped");
  EXPECT_TRUE(says(refusal({.gradient_clip_val = kNan}), {"gradient_clip_val = nan"}));
  EXPECT_TRUE(says(refusal({.gradient_clip_algorithm = "nrom"}),
                   {"gradient_clip_algorithm", "'nrom'", "did you mean 'norm'?"}));
}

TEST(TrainerOptionsValidate, refuses_a_time_that_is_none) {
  EXPECT_TRUE(says(refusal({.max_time = "soon"}), {"max_time = soon", "DD:HH:MM:SS"}));
}

TEST(TrainerOptionsValidate, refuses_pipelines_that_cannot_be) {
  EXPECT_EQ(refusal({.pipeline_size = 0}), "pipeline_size = 0: must be at least 1");
  EXPECT_TRUE(says(refusal({.micro_batches = -1}), {"micro_batches = -1", "at least 0"}));
  EXPECT_TRUE(says(refusal({.pipeline_schedule = "1f1f"}), {"'1f1f'", "did you mean '1f1b'?"}));
  EXPECT_TRUE(says(refusal({.strategy = "zero_stage_1", .pipeline_size = 2}),
                   {"strategy = zero_stage_1 with pipeline_size = 2", "ddp"}));
  EXPECT_TRUE(says(refusal({.sync_batchnorm = true, .pipeline_size = 2}), {"sync_batchnorm"}));
  EXPECT_TRUE(says(refusal({.gradient_compression = "topk", .pipeline_size = 2}), {"topk"}));
  EXPECT_TRUE(says(refusal({.precision = "16-mixed", .pipeline_size = 2}), {"bf16-mixed"}));
  validate({.strategy = "ddp", .pipeline_size = 2});
}

TEST(TrainerOptionsValidate, refuses_to_share_layers_with_what_needs_whole_ones) {
  EXPECT_EQ(refusal({.tensor_size = 0}), "tensor_size = 0: must be at least 1");
  for (const auto& options :
       {TrainerOptions{.strategy = "zero_stage_1"}, TrainerOptions{.strategy = "single_device"},
        TrainerOptions{.gradient_compression = "one_bit"},
        TrainerOptions{.model_averaging = "diloco"}, TrainerOptions{.gradient_deadline = "drop"}}) {
    auto both = options;
    both.tensor_size = 2;
    EXPECT_TRUE(says(refusal(both), {" with tensor_size = 2"}));
  }
  validate({.gradient_compression = "bf16", .pipeline_size = 1, .tensor_size = 2});
  validate({.precision = "16-mixed", .sync_batchnorm = true, .tensor_size = 2});
  validate({.strategy = "ddp", .pipeline_size = 2, .tensor_size = 2});
}

TEST(TrainerOptionsDuration, leading_parts_may_be_left_out) {
  EXPECT_EQ(parse_duration("x", "00:00:00:05"), 5.0);
  EXPECT_EQ(parse_duration("x", "1:2:3:4"), 86400.0 + 2 * 3600 + 3 * 60 + 4);
  EXPECT_EQ(parse_duration("x", "02:03:04"), 2 * 3600 + 3 * 60 + 4);
  EXPECT_EQ(parse_duration("x", "10:30"), 630.0);
  EXPECT_EQ(parse_duration("x", "90"), 90.0);
  EXPECT_EQ(parse_duration("x", "0"), 0.0);
}

TEST(TrainerOptionsDuration, refuses_what_is_no_time) {
  for (const char* text : {"", ":", "1:", ":1", "1::2", "1:2:3:4:5", "-1", "1:-2", "+1", "1.5",
                           " 1", "1 ", "1h", "x", "99999999999999999999", "0x10"}) {
    EXPECT_TRUE(says(message_of<ConfigError>([&] { parse_duration("max_time", text); }),
                     {"max_time = " + std::string(text), "DD:HH:MM:SS"}))
        << text;
  }
}

}  // namespace levin::trainer_options_test
