#include <levin/cli/run_recorder.h>

#include <cstddef>
#include <functional>

#include <levin/cli/data_record.h>
#include <levin/cli/report_command.h>
#include <levin/datamodules/iris.h>
#include <levin/datamodules/readers/digest.h>
#include <levin/datamodules/sharded_dataset.h>
#include <levin/framework/data/source_files.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "cli/program.h"
#include "framework/message_of.h"

// The record of a run (run.json), the checksums of its data, and its report.

namespace levin::test::run_record_test {

DataLoaders loaders_of(std::shared_ptr<const Dataset> dataset) {
  return DataLoader(std::move(dataset), {.batch_size = 2});
}

Value record_of(const DataLoaders& loaders, uint64_t whole_bytes = kWholeChecksumBytes) {
  return data_record({{"train", &loaders}}, whole_bytes);
}

std::string sha256_of(const Value& record, size_t source = 0) {
  return record.at("sources").as_array()[source].at("sha256").as_string();
}

std::string hex_sha256(const void* data, size_t size) {
  return readers::digest_hex(readers::DigestKind::sha256,
                             {static_cast<const std::byte*>(data), size});
}

TEST(DataRecord, of_tensors_changes_with_any_byte_and_with_nothing_else) {
  const auto input = torch::arange(12, torch::kFloat).view({4, 3});
  const auto target = torch::tensor({0, 1, 0, 1}, torch::kLong);
  const auto record_with = [](const torch::Tensor& x, const torch::Tensor& y) {
    return record_of(loaders_of(std::make_shared<TensorDataset>(x, y)));
  };
  const Value record = record_with(input, target);
  EXPECT_EQ(record, record_with(input.clone(), target.clone()));
  const Value& source = record.at("sources").as_array()[0];
  EXPECT_EQ(source.at("kind"), Value("tensors"));
  EXPECT_EQ(source.at("sampled"), Value(false));
  const Value& part = source.at("parts").as_array()[0];
  EXPECT_EQ(part.at("name"), Value("input"));
  EXPECT_EQ(part.at("dtype"), Value("float32"));
  EXPECT_EQ(part.at("shape"), Value(Value::Array{4, 3}));
  EXPECT_EQ(part.at("sha256"), Value(hex_sha256(input.data_ptr(), input.nbytes())));
  for (int64_t row = 0; row < 4; ++row) {
    auto other = input.clone();
    other[row][2] += 1e-3;
    EXPECT_NE(sha256_of(record), sha256_of(record_with(other, target))) << row;
    auto label = target.clone();
    label[row] = 2;
    EXPECT_NE(sha256_of(record), sha256_of(record_with(input, label))) << row;
  }
  EXPECT_NE(sha256_of(record), sha256_of(record_with(input.view({4, 3, 1}), target)));
}

TEST(DataRecord, of_parts_of_a_data_set_has_one_source_and_the_rows_of_each) {
  const auto whole = std::make_shared<TensorDataset>(torch::rand({6, 2}), torch::arange(6));
  const auto part = std::make_shared<Subset>(whole, std::vector<int64_t>{0, 2, 4, 5});
  const auto inner = std::make_shared<Subset>(part, std::vector<int64_t>{1, 3});
  const DataLoaders train = loaders_of(part);
  const DataLoaders validation = {DataLoader(inner, {}), DataLoader(whole, {})};
  const Value record = data_record({{"train", &train}, {"validation", &validation}});
  EXPECT_EQ(record.at("sources").as_array().size(), 1U);
  const auto& sets = record.at("sets").as_array();
  ASSERT_EQ(sets.size(), 3U);
  EXPECT_EQ(sets[0].at("rows"), Value(4));
  EXPECT_EQ(sets[1].at("name"), Value("validation 0"));
  const std::vector<int64_t> numbers = {2, 5};
  EXPECT_EQ(sets[1].at("rows_sha256"),
            Value(hex_sha256(numbers.data(), numbers.size() * sizeof(int64_t))));
  EXPECT_TRUE(sets[2].at("rows_sha256").is_null());
}

TEST(DataRecord, of_sparse_rows_and_scaled_bytes_covers_all_they_lie_in) {
  const auto sparse_with = [](float value, int32_t column) {
    NamedRows rows;
    rows.emplace_back("input", Rows::sparse(torch::tensor({0, 1, 2}, torch::kLong),
                                            torch::tensor({0, column}, torch::kInt),
                                            torch::tensor({1.0F, value}), /*columns=*/5));
    return sha256_of(
        record_of(loaders_of(std::make_shared<TensorDataset>(TensorDataset::of_rows(rows)))));
  };
  EXPECT_EQ(sparse_with(2, 3), sparse_with(2, 3));
  EXPECT_NE(sparse_with(2, 3), sparse_with(3, 3));
  EXPECT_NE(sparse_with(2, 3), sparse_with(2, 4));
  const auto bytes_with = [](float scale) {
    auto rows =
        std::make_shared<TensorDataset>(torch::ones({4, 2}, torch::kByte), torch::arange(4));
    rows->set_scale("input", {.scale = scale});
    return sha256_of(record_of(loaders_of(rows)));
  };
  EXPECT_NE(bytes_with(0.5F), bytes_with(0.25F));
}

/// Rows from files, of which only their names matter here.
class FileRows : public Dataset, public HasSourceFiles {
 public:
  explicit FileRows(std::vector<fs::path> files) : files_(std::move(files)) {}
  std::optional<int64_t> size() const override { return 4; }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override {
    out.set("input", torch::zeros({static_cast<int64_t>(rows.size()), 1}));
  }
  std::vector<fs::path> source_files() const override { return files_; }

 private:
  std::vector<fs::path> files_;
};

TEST(DataRecord, of_files_has_the_checksums_that_sha256sum_prints) {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder / name, std::ios::binary) << text;
  };
  std::string text(3 << 20, 'a');
  write("a.bin", text);
  write("b.bin", "");
  const auto files =
      std::make_shared<FileRows>(std::vector<fs::path>{folder / "a.bin", folder / "b.bin"});
  const Value whole = record_of(loaders_of(files));
  const Value& source = whole.at("sources").as_array()[0];
  EXPECT_EQ(source.at("kind"), Value("files"));
  EXPECT_EQ(source.at("parts").as_array()[0].at("sha256"),
            Value(hex_sha256(text.data(), text.size())));
  EXPECT_EQ(source.at("parts").as_array()[1].at("bytes"), Value(0));
  text[text.size() / 3] = 'b';
  write("a.bin", text);
  EXPECT_NE(sha256_of(whole), sha256_of(record_of(loaders_of(files))));
  // If the files are larger than what is read whole, their size and ends count still.
  const Value sampled = record_of(loaders_of(files), /*whole_bytes=*/1024);
  EXPECT_EQ(sampled.at("sources").as_array()[0].at("sampled"), Value(true));
  text.back() = 'c';
  write("a.bin", text);
  const Value changed = record_of(loaders_of(files), /*whole_bytes=*/1024);
  EXPECT_NE(sha256_of(sampled), sha256_of(changed));
  write("a.bin", text + "c");
  EXPECT_NE(sha256_of(changed), sha256_of(record_of(loaders_of(files), /*whole_bytes=*/1024)));
  fs::remove(folder / "a.bin");
  EXPECT_NE(
      record_of(loaders_of(files)).at("sources").as_array()[0].at("note").as_string().find("a.bin"),
      std::string::npos);
}

TEST(DataRecord, of_a_stream_is_of_the_files_of_its_rows) {
  const TemporaryFolder folder;
  const std::string text = "1,2,0\n3,4,1\n5,6,0\n";
  std::ofstream(folder / "a.csv") << text;
  std::ofstream(folder / "b.csv") << "7,8,1\n";
  const auto stream = std::make_shared<ShardedDataset>(
      readers::open_shards({folder / "a.csv", folder / "b.csv"}, {}, {}));
  const Value record = record_of(loaders_of(stream));
  const Value& source = record.at("sources").as_array()[0];
  EXPECT_EQ(source.at("kind"), Value("files"));
  ASSERT_EQ(source.at("parts").as_array().size(), 2U);
  EXPECT_EQ(source.at("parts").as_array()[0].at("name"), Value("a.csv"));
  EXPECT_EQ(source.at("parts").as_array()[0].at("sha256"),
            Value(hex_sha256(text.data(), text.size())));
}

/// A data set of a class that says nothing of itself.
class OwnRows : public Dataset {
 public:
  OwnRows(std::optional<int64_t> size, float last) : size_(size), last_(last) {}
  std::optional<int64_t> size() const override { return size_; }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override {
    auto values = torch::empty({static_cast<int64_t>(rows.size()), 1});
    for (size_t i = 0; i < rows.size(); ++i) {
      values[static_cast<int64_t>(i)] = rows[i] == 99 ? last_ : static_cast<float>(rows[i]);
    }
    out.set("input", values);
  }

 private:
  std::optional<int64_t> size_;
  float last_;
};

TEST(DataRecord, of_a_class_of_ones_own_is_of_its_first_and_last_rows) {
  const auto record_with = [](std::optional<int64_t> size, float last) {
    return record_of(loaders_of(std::make_shared<OwnRows>(size, last)));
  };
  const Value record = record_with(100, 1.0F);
  EXPECT_EQ(record.at("sources").as_array()[0].at("kind"), Value("rows"));
  EXPECT_EQ(record.at("sources").as_array()[0].at("sampled"), Value(true));
  EXPECT_EQ(sha256_of(record), sha256_of(record_with(100, 1.0F)));
  EXPECT_NE(sha256_of(record), sha256_of(record_with(100, 2.0F)));
  const Value stream = record_with(std::nullopt, 1.0F);
  EXPECT_EQ(stream.at("sources").as_array()[0].at("note"),
            Value("OwnRows: a stream that doesn't say which files it reads (HasSourceFiles)"));
}

/// Short fits of Iris by the program.
class RunRecord : public ProgramTest {
 protected:
  RunRecord() {
    write("iris.yaml",
          "seed_everything: 5\nmodel: {class_path: LogisticRegression, init_args: {in_features: 4, "
          "num_classes: 3, learning_rate: 0.25}}\ndata: IrisDataModule\n"
          "trainer: {max_epochs: 2, enable_progress_bar: false, enable_model_summary: false, "
          "accelerator: cpu, log_every_n_steps: 1}\n");
  }
  std::vector<std::string> fit_with(std::vector<std::string> more) const {
    std::vector<std::string> words = {"fit", "--config", "iris.yaml"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Value::Array fits() const {
    return Value::from_json(read_file(folder_ / "levin_logs/version_0/run.json"))
        .at("fits")
        .as_array();
  }
  std::string report() const { return read_file(folder_ / "levin_logs/version_0/report.html"); }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
};

TEST_F(RunRecord, of_a_fit_says_what_made_it_and_its_report_shows_that) {
  const Outcome outcome = run(fit_with({"--trainer.profiler=simple", "--json"}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json().at("report"), Value("levin_logs/version_0/report.html"));
  const auto all = fits();
  ASSERT_EQ(all.size(), 1U);
  const Value& fit = all.front();
  EXPECT_EQ(fit.at("status"), Value("done"));
  EXPECT_EQ(fit.at("stop_reason"), Value("max_epochs"));
  EXPECT_EQ(fit.at("epochs"), Value(2));
  EXPECT_EQ(fit.at("seed"), Value(5));
  EXPECT_EQ(fit.at("ranks"), Value(1));
  EXPECT_EQ(fit.at("device"), Value("cpu"));
  EXPECT_EQ(fit.at("model").at("class"), Value("LogisticRegression"));
  EXPECT_EQ(fit.at("model").at("parameters"), Value(15));
  EXPECT_LE(fit.at("started").as_double(), fit.at("ended").as_double());
  EXPECT_GE(fit.at("host").at("cores").as_int(), 1);
  EXPECT_FALSE(fit.at("libtorch").as_string().empty());
  EXPECT_GT(fit.at("profile").at("parts").as_array().size(), 3U);
  EXPECT_EQ(fs::path(fit.at("last_checkpoint").as_string()).filename(),
            fs::path(outcome.json().at("last_checkpoint").as_string()).filename());

  const auto& sources = fit.at("data").at("sources").as_array();
  ASSERT_EQ(sources.size(), 1U);
  const auto& sets = fit.at("data").at("sets").as_array();
  ASSERT_EQ(sets.size(), 2U);
  EXPECT_EQ(sets[0].at("name"), Value("train"));

  Value rate;
  for (const auto& group : fit.at("settings").as_array()) {
    for (const auto& setting : group.at("settings").as_array()) {
      if (setting.at("name") == Value("learning_rate")) rate = setting;
      if (setting.at("name") != Value("precision")) continue;
      EXPECT_FALSE(setting.contains("default")) << "it isn't changed";
    }
  }
  EXPECT_EQ(rate.at("value"), Value(0.25));
  EXPECT_EQ(rate.at("default"), Value(0.001));

  const std::string page = report();
  EXPECT_LT(page.size(), size_t{2} << 20);
  for (const auto& part :
       {sources[0].at("sha256").as_string(), fit.at("levin").at("version").as_string(),
        std::string("Run version_0: LogisticRegression"), std::string("val_loss"),
        std::string("<td>learning_rate</td><td>0.25</td><td>0.001</td>"),
        std::string("optimizer</th>"), std::string("checkpoints/")}) {
    EXPECT_TRUE(has(page, part)) << part;
  }
  EXPECT_FALSE(has(page, "src=")) << "it loads nothing";
}

TEST_F(RunRecord, of_a_resumed_fit_is_added_to_that_of_the_first_one) {
  ASSERT_EQ(run(fit_with({})).status, 0);
  const auto first = fits();
  const Outcome resumed = run(fit_with({"--ckpt-path=last", "--trainer.max_epochs=3"}));
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  const auto both = fits();
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].at("started"), first[0].at("started"));
  EXPECT_EQ(both[0].at("status"), Value("done"));
  EXPECT_FALSE(both[0].contains("settings"));
  EXPECT_EQ(both[1].at("first_step"), both[0].at("global_step"));
  EXPECT_EQ(both[1].at("epochs"), Value(3));
  EXPECT_EQ(sha256_of(both[1].at("data")), sha256_of(both[0].at("data")));
  EXPECT_TRUE(has(report(), "<h2 id=\"fits\">Fits</h2>"));
}

TEST_F(RunRecord, of_a_fit_that_fails_has_the_error) {
  const Outcome outcome =
      run(fit_with({"--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_los"}));
  ASSERT_EQ(outcome.status, 1) << outcome.err;
  const Value fit = fits().back();
  EXPECT_EQ(fit.at("status"), Value("failed"));
  EXPECT_TRUE(has(fit.at("error").as_string(), "did you mean 'val_loss'?"));
  EXPECT_TRUE(has(report(), "<strong>The error:</strong> "));
}

TEST_F(RunRecord, of_a_fit_whose_loss_became_nan_and_its_report_say_so) {
  const Outcome outcome = run(fit_with({"--model.optimizer=SGD", "--model.learning_rate=1e38"}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(has(report(), "Values that aren't finite:")) << report();
  EXPECT_TRUE(has(report(), "val_loss is nan (since epoch 0)")) << report();
  EXPECT_TRUE(has(outcome.err, "val_loss    nan")) << outcome.err;
  EXPECT_FALSE(has(outcome.err, "-nan")) << outcome.err;
}

TEST_F(RunRecord, is_there_without_a_report_if_the_switch_is_off) {
  ASSERT_EQ(run(fit_with({"--trainer.enable_report=false"})).status, 0);
  EXPECT_EQ(fits().size(), 1U);
  EXPECT_FALSE(fs::exists(folder_ / "levin_logs/version_0/report.html"));
  const Outcome written = run({"report", "levin_logs/version_0", "--output", "page.html"});
  ASSERT_EQ(written.status, 0) << written.err;
  EXPECT_TRUE(has(read_file(folder_ / "page.html"), "Run version_0: LogisticRegression"));
  expect_error({"report", "nowhere"}, 1, "there is no folder 'nowhere'");
  fs::create_directories(folder_ / "empty");
  expect_error({"report", "empty"}, 1, "'empty' holds no run");
  expect_error({"report"}, 2, "takes one run, but got 0");
}

TEST_F(RunRecord, is_not_written_where_nothing_makes_a_run_folder) {
  ASSERT_EQ(run(fit_with({"--trainer.fast_dev_run=true"})).status, 0);
  ASSERT_EQ(
      run(fit_with({"--trainer.logger=false", "--trainer.enable_checkpointing=false"})).status, 0);
  EXPECT_EQ(contents(), std::vector<std::string>{"iris.yaml"});
}

TEST_F(RunRecord, that_is_damaged_is_left_out_of_the_report_with_a_warning) {
  fs::create_directories(folder_ / "levin_logs/version_0");
  write("levin_logs/version_0/run.json", "{\"fits\": 3}");
  write("levin_logs/version_0/metrics.csv", "epoch,step,val_loss\n0,1,0.5\n1,2,0.25\n");
  write("levin_logs/version_0/hparams.yaml", "model: {units: 3}\nseed: 4\n");
  const Outcome outcome = run({"report", "levin_logs/version_0"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(has(outcome.err, "run.json is left out of the report"));
  EXPECT_TRUE(has(report(), "lowest val_loss")) << "from metrics.csv";
  EXPECT_TRUE(has(report(), "<th scope=\"row\">units</th><td>3</td>")) << "from hparams.yaml";
}

TEST_F(RunRecord, is_written_by_a_trainer_in_a_program_of_ones_own) {
  IrisDataModule data({.batch_size = 50});
  LogisticRegression model({.in_features = 4, .num_classes = 3});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()});
  auto& recorder = trainer.add_logger<RunRecorder>();
  trainer.fit(model, data);
  recorder.complete(trainer);
  const auto path = write_run_report(recorder.folder());
  EXPECT_EQ(path, folder_ / "levin_logs/version_0/report.html");
  EXPECT_EQ(fits().back().at("status"), Value("done"));
  EXPECT_TRUE(has(report(), "LogisticRegression: 15 parameters"));
  trainer.test(model, data);
  EXPECT_EQ(fits().size(), 1U) << "a test isn't a fit";
}

}  // namespace levin::test::run_record_test
