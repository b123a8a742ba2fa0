#include <levin/framework/report/run_report.h>

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/report/html_page.h>

// The page on a run, from records that are written by hand.

namespace levin::run_report_test {

constexpr const char* kFit = R"({
  "started": 1700000000.0, "ended": 1700000090.5, "status": "done", "stop_reason": "max_epochs",
  "epochs": 3, "global_step": 135, "first_epoch": 0, "first_step": 0, "seed": 7, "ranks": 2,
  "nodes": 1, "device": "cpu", "threads": 1, "libtorch": "2.9.1",
  "command": ["levin", "fit", "--config", "my file.yaml"],
  "levin": {"version": "0.1.0", "commit": "0123456789abcdef0123456789abcdef01234567",
            "changed": false, "compiler": "gcc 12.2.0"},
  "git": {"commit": "fedcba9876543210fedcba9876543210fedcba98", "changed": true},
  "host": {"system": "Linux", "processor": "Fast One", "cores": 2, "memory": 8000000000,
           "gpus": ["NVIDIA H200"]},
  "settings": [{"name": "trainer", "settings": [{"name": "max_epochs", "value": 3, "default": null},
                                                {"name": "devices", "value": "auto"}]},
               {"name": "model", "class": "MLP",
                "settings": [{"name": "learning_rate", "value": 0.25, "default": 0.001}]}],
  "model": {"class": "MLP", "parameters": 1234567, "trainable": 1234567, "bytes": 4938268,
            "num_layers": 1, "layers": [{"name": "linear", "type": "Linear", "parameters": 1234567,
            "trainable": "yes", "in": "[*, 64]", "out": "[*, 10]"}]},
  "data": {"sources": [{"kind": "tensors", "sha256": "aa11bb22cc33dd44", "sampled": false,
             "count": 1, "parts": [{"name": "input", "dtype": "float32", "shape": [1797, 64],
             "bytes": 460032, "sha256": "09feb00b"}]}],
           "sets": [{"name": "train", "source": 0, "rows": 1438, "rows_sha256": "77b0"},
                    {"name": "validation", "source": 0, "rows": 359, "rows_sha256": null}]},
  "profile": {"seconds": 2.0, "parts": [{"name": "backward", "calls": 5, "seconds": 0.5},
                                        {"name": "the rest", "calls": 0, "seconds": 1.5}]}
})";

RunReport report_of(const Value& fit) {
  return {.name = "version_3",
          .fits = {fit},
          .metrics = {{.name = "val_loss",
                       .points = {{0, 0.5}, {1, 0.25}, {2, 0.375}},
                       .lower_is_better = true}},
          .checkpoints = {{.name = "checkpoints/last.ckpt", .bytes = 1500, .is_last = true}}};
}

/// The whole page as text: without tags, and with single spaces.
std::string text_of(const std::string& html) {
  static const std::regex style(R"(<style>[\s\S]*?</style>)");
  static const std::regex tag("<[^>]*>");
  static const std::regex blanks("\\s+");
  return std::regex_replace(std::regex_replace(std::regex_replace(html, style, " "), tag, " "),
                            blanks, " ");
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(RunReportPage, says_which_commit_configuration_seed_and_data_made_the_run) {
  const std::string text = text_of(report_page(report_of(Value::from_json(kFit))));
  for (const char* part :
       {"Run version_3: MLP",
        "The fit is done after 3 epochs and 135 steps, in 0:01:31 h: max_epochs was reached.",
        "commit of the folder fedcba9876543210fedcba9876543210fedcba98, with changes since",
        "commit of Levin 0123456789abcdef0123456789abcdef01234567 ",
        "seed 7",
        "command levin fit --config 'my file.yaml'",
        "compiler of Levin gcc 12.2.0",
        "LibTorch 2.9.1",
        "processor Fast One",
        "memory 8 GB",
        "GPUs NVIDIA H200",
        "ranks 2",
        "started 2023-11-14 22:13:20 UTC",
        "trainer max_epochs 3 null",
        "model MLP learning_rate 0.25 0.001",
        "All 3 settings",
        "devices auto",
        "train 1,438 0 77b0 validation 359 0 all rows of the source",
        "input, float32 [1797, 64] 460 KB 09feb00b",
        "all of source 0 (tensors, 1 part) aa11bb22cc33dd44",
        "1,234,567 parameters, 1,234,567 of them trained, 4.94 MB",
        "linear Linear 1,234,567 yes [*, 64] [*, 10]",
        "val_loss 0.375 0.25 1 lowest",
        "the rest 1.500 75.0 % backward 5 0.500 25.0 %",
        "checkpoints/last.ckpt 1.5 KB last"}) {
    EXPECT_TRUE(has(text, part)) << part << "\n  is missing in\n" << text;
  }
}

TEST(RunReportPage, loads_nothing_and_runs_no_script) {
  static const std::regex name_of_svg(" xmlns=\"[^\"]*\"");  // which browsers don't open
  const std::string page =
      std::regex_replace(report_page(report_of(Value::from_json(kFit))), name_of_svg, "");
  for (const char* part :
       {"http:", "https:", "<script", "<link", "<img", "<iframe", "@import", "url(", "src="}) {
    EXPECT_FALSE(has(page, part)) << part;
  }
  static const std::regex handler("<[^>]* on[a-z]+=");
  EXPECT_FALSE(std::regex_search(page, handler));
}

TEST(RunReportPage, escapes_every_name_and_value) {
  const std::string evil = "<script>alert(\"1\")</script>&";
  // Replaces every text of the record by the evil one, and keeps its shape.
  const std::function<Value(const Value&)> poisoned = [&](const Value& value) -> Value {
    if (value.is_string()) return evil;
    if (value.is_array()) {
      Value::Array items;
      for (const auto& each : value.as_array()) items.push_back(poisoned(each));
      return items;
    }
    if (!value.is_object()) return value;
    Value::Object members;
    for (const auto& [name, each] : value.as_object()) members.emplace(name, poisoned(each));
    return members;
  };
  Value fit = poisoned(Value::from_json(kFit));
  fit["error"] = evil;
  RunReport report = report_of(fit);
  report.fits.push_back(fit);
  report.name = evil;
  report.metrics.front().name = evil;
  report.checkpoints.front().name = evil;
  const std::string page = report_page(report);
  EXPECT_FALSE(has(page, "<script"));
  EXPECT_FALSE(has(page, "alert(\"1\")"));
  EXPECT_TRUE(has(page, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;"));
}

TEST(RunReportPage, of_a_failed_fit_has_its_error_and_of_a_resumed_one_the_earlier_fits) {
  Value failed = Value::from_json(kFit);
  failed["status"] = "failed";
  failed["error"] = "the loss is NaN";
  Value second = Value::from_json(kFit);
  second["first_step"] = 100;
  RunReport report = report_of(failed);
  EXPECT_TRUE(has(text_of(report_page(report)), "The fit failed after 3 epochs and 135 steps"));
  EXPECT_TRUE(has(text_of(report_page(report)), "The error: the loss is NaN"));
  report.fits.push_back(second);
  const std::string text = text_of(report_page(report));
  EXPECT_TRUE(has(text, "22:13:20 UTC 0:01:31 h failed 135 0 7")) << text;
  EXPECT_TRUE(has(text, "22:13:20 UTC 0:01:31 h done 135 100 7")) << text;
  EXPECT_FALSE(has(text, "The error")) << "it is that of an earlier fit";
}

TEST(RunReportPage, says_how_far_a_fit_came_and_what_it_can_go_on_from) {
  const auto text_with = [](const std::function<void(Value&, RunReport&)>& change) {
    Value fit = Value::from_json(kFit);
    RunReport report = report_of(fit);
    change(fit, report);
    report.fits = {fit};
    return text_of(report_page(report));
  };
  const auto failing_at = [&](int64_t epochs, int64_t step) {
    return text_with([&](Value& fit, RunReport& report) {
      fit["status"] = "failed";
      fit["epochs"] = epochs;
      fit["global_step"] = step;
      report.checkpoints.clear();
    });
  };
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {failing_at(0, 0),
            "The fit failed before its first step, in 0:01:31 h. It has left no "},
           {failing_at(0, 1), "The fit failed in its first epoch, after 1 step, in"},
           {failing_at(12, 12345), "The fit failed after 12 epochs and 12,345 steps, in"},
           {text_with([](Value&fit, RunReport&) {
              fit["status"] = "interrupted";
              fit["stop_reason"] = "interrupted";
              fit["first_step"] = 1000;
            }),
            "The fit was interrupted by a signal after 3 epochs and 135 steps, in 0:01:31 h from "
            "step 1,000 on. It can go on from checkpoints/last.ckpt."},
           {text_with([](Value&fit, RunReport&) { fit["status"] = "running"; }),
            "ended without saying how. Its last metrics are those of epoch 2."},
           {text_with([](Value&fit, RunReport&) { fit["stop_reason"] = "early stopping: x"; }),
            "The fit ended after 3 epochs and 135 steps, in 0:01:31 h: early stopping: x."}}) {
    EXPECT_TRUE(has(text, part)) << part << "\n  is missing in\n" << text;
  }
}

TEST(RunReportPage, has_the_whole_error_with_its_lines) {
  Value fit = Value::from_json(kFit);
  fit["status"] = "failed";
  fit["error"] = std::string(500, 'x') + "\nset in_features = 64";
  const std::string page = report_page(report_of(fit));
  EXPECT_TRUE(has(page, std::string(500, 'x') + "<br>\nset in_features = 64</p>"));
  EXPECT_TRUE(has(page, "<span class=\"status failed\">"));
}

TEST(RunReportPage, names_the_metrics_that_are_not_finite_at_the_end) {
  const double nan = std::nan("");
  RunReport report = report_of(Value::from_json(kFit));
  EXPECT_FALSE(has(report_page(report), "aren't finite"));
  report.metrics = {
      {.name = "val_loss",
       .points = {{0, 0.5}, {1, 0.25}, {2, nan}, {3, nan}},
       .lower_is_better = 1},
      {.name = "train_loss", .points = {{0, nan}, {1, -INFINITY}}, .lower_is_better = true},
      {.name = "val_acc", .points = {{0, nan}, {1, 0.5}, {2, 0.75}, {3, 0.75}}}};
  const std::string text = text_of(report_page(report));
  EXPECT_TRUE(has(text,
                  "Values that aren't finite: val_loss is nan (since epoch 2), train_loss is -inf "
                  "(since epoch 0) "))
      << text;
  EXPECT_TRUE(has(text, "lowest val_loss 0.25 in epoch 1 at the end nan")) << text;
  EXPECT_TRUE(has(text, "train_loss -inf never finite")) << text;
  EXPECT_TRUE(has(text, "val_loss nan 0.25 1 lowest train_loss -inf none lowest")) << text;
  EXPECT_TRUE(has(text, "val_acc 0.75 0.75 2 highest")) << "the first of the best\n" << text;
}

TEST(RunReportPage, shows_what_there_is_of_an_incomplete_record) {
  for (const char* record : {"{}", "null", R"({"status": 3, "data": [], "model": "x", "host": 1})",
                             R"({"settings": [{}, 3, {"settings": [4]}], "command": [null]})",
                             R"({"status": "running", "profile": {"seconds": 0}})"}) {
    RunReport report = report_of(Value::from_json(record));
    EXPECT_TRUE(has(text_of(report_page(report)), "val_loss 0.375")) << record;
  }
  RunReport report;
  report.metrics.push_back({.name = "val_acc"});
  EXPECT_TRUE(has(text_of(report_page(report)), "val_acc"));
}

TEST(RunReportPage, stays_below_two_megabytes_however_much_there_is) {
  Value fit = Value::from_json(kFit);
  Value::Array settings;
  Value::Array layers;
  Value::Array sources;
  const std::string filler(20'000, 'x');
  for (int i = 0; i < 3000; ++i) {
    settings.push_back(Value::Object{{"name", "s" + std::to_string(i)}, {"value", filler}});
    layers.push_back(Value::Object{{"name", filler}, {"type", filler}});
    sources.push_back(fit.at("data").at("sources").as_array().front());
    if (i > 500) settings.back()["value"] = i;
  }
  fit["settings"] = Value::Array{Value::Object{{"name", "data"}, {"settings", settings}}};
  fit["model"]["layers"] = layers;
  fit["data"]["sources"] = sources;
  fit["error"] = filler;
  RunReport report = report_of(fit);
  for (int i = 0; i < 1000; ++i) {
    report.metrics.push_back({.name = filler, .points = {{0, 1}}});
    report.pictures.push_back({"picture", "<svg>" + filler + "</svg>"});
    report.checkpoints.push_back({.name = filler});
    report.fits.insert(report.fits.begin(), Value::from_json(kFit));
  }
  const std::string page = report_page(report);
  EXPECT_LT(page.size(), size_t{2} << 20);
  EXPECT_TRUE(has(text_of(page), "The other 801 metrics aren't shown."));
}

TEST(HtmlPage, has_one_heading_and_tables_with_headers_and_captions) {
  const std::string page =
      html::begin_page("A & B") +
      html::table(
          {.caption = "c", .header = {"x", "y"}, .rows = {{"1", "<2>"}}, .number_columns = {1}}) +
      std::string(html::end_page());
  EXPECT_TRUE(has(page, "<h1>A &amp; B</h1>"));
  EXPECT_TRUE(has(page, "<caption>c</caption>"));
  EXPECT_TRUE(has(page, "<th scope=\"col\">x</th><th scope=\"col\" class=\"number\">y</th>"));
  EXPECT_TRUE(has(page, "<th scope=\"row\">1</th><td class=\"number\">&lt;2&gt;</td>"));
  EXPECT_TRUE(page.ends_with("</html>\n"));
  const std::string sum(64, 'a');
  const std::string cells =
      html::table({.header = {"x", "y"}, .rows = {{"a long line of words", "b " + sum}}});
  EXPECT_TRUE(has(cells, "<th scope=\"row\">a long line of words</th>"));
  EXPECT_TRUE(has(cells, "<td class=\"long\">b " + sum)) << "a checksum breaks in a narrow window";
}

}  // namespace levin::run_report_test
