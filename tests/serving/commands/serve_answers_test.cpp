#include <levin/serving/commands/serve.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <levin/cli/predictions_csv.h>
#include <levin/datamodules/mnist.h>
#include <levin/datamodules/table.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/many_regressions.h>
#include <levin/models/mlp.h>

#include "framework/support.h"
#include "framework/temporary_folder.h"
#include "serving/commands/serving_process.h"

// What a service answers over HTTP is what Trainer::predict finds: to the bit one by one, and
// nearly so in batches.

namespace levin::serve_answers_test {
namespace {

using nlohmann::json;
using test::RawClient;
using test::ServingProcess;

constexpr int64_t kImages = 20;

class ServeAnswers : public ::testing::Test {
 protected:
  /// Trains a model for some steps, and saves NAME.ckpt.
  void train(Module& model, DataModule& data, const std::string& name) const {
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = 1,
                     .limit_train_batches = 5,
                     .limit_val_batches = 0,
                     .default_root_dir = folder_.string()});
    trainer.fit(model, data);
    trainer.save_checkpoint(folder_ / (name + ".ckpt"));
  }

  test::TemporaryFolder folder_;
};

std::vector<float> floats_of(const torch::Tensor& tensor) {
  const auto flat = tensor.to(torch::kFloat).contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

/// A request of the Open Inference Protocol for rows, as JSON.
std::string infer_request(const std::string& model, const std::string& type,
                          const torch::Tensor& rows) {
  const auto numbers = floats_of(rows);
  json data = json::array();
  for (const float each : numbers) {
    if (type == "UINT8") {
      data.push_back(static_cast<int>(each));
    } else {
      data.push_back(each);
    }
  }
  const json body = {
      {"inputs",
       {{{"name", "input"}, {"datatype", type}, {"shape", rows.sizes().vec()}, {"data", data}}}}};
  return test::post_request("/v2/models/" + model + "/infer", body.dump());
}

/// The same with the rows, and the answer, as raw bytes.
std::string binary_request(const std::string& model, const std::string& type,
                           const torch::Tensor& rows) {
  const auto raw = rows.to(type == "UINT8" ? torch::kUInt8 : torch::kFloat).contiguous();
  const auto bytes = static_cast<size_t>(raw.numel() * raw.element_size());
  const std::string head =
      json{{"inputs",
            {{{"name", "input"},
              {"datatype", type},
              {"shape", rows.sizes().vec()},
              {"parameters", {{"binary_data_size", bytes}}}}}},
           {"outputs", {{{"name", "probability"}, {"parameters", {{"binary_data", true}}}}}}}
          .dump();
  return test::post_request(
      "/v2/models/" + model + "/infer",
      head + std::string(static_cast<const char*>(raw.data_ptr()), bytes),
      "Inference-Header-Content-Length: " + std::to_string(head.size()) + "\r\n");
}

/// The probabilities in an answer.
std::vector<float> probabilities_in(const test::RawResponse& response) {
  if (response.status != 200) ADD_FAILURE() << response.status << " " << response.body;
  const auto length = response["Inference-Header-Content-Length"];
  std::vector<float> found;
  if (!length.empty()) {
    const auto begin = static_cast<size_t>(std::atoll(std::string(length).c_str()));
    found.resize((response.body.size() - begin) / sizeof(float));
    std::memcpy(found.data(), response.body.data() + begin, found.size() * sizeof(float));
    return found;
  }
  const json answer = json::parse(response.body, nullptr, false);
  if (answer.contains("outputs")) {
    for (const auto& output : answer["outputs"]) {
      if (output["name"] == "probability") found = output["data"].get<std::vector<float>>();
    }
  } else if (answer.contains("predictions")) {
    for (const auto& each : answer["predictions"]) {
      const auto row = each["probabilities"].get<std::vector<float>>();
      found.insert(found.end(), row.begin(), row.end());
    }
  }
  return found;
}

void expect_same(const std::vector<float>& found, const std::vector<float>& expected,
                 const std::string& what) {
  EXPECT_EQ(found, expected) << what;
}

void expect_near(const std::vector<float>& found, const std::vector<float>& expected,
                 const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], expected[i], 1e-6) << what << ", number " << i;
}

/// Rows for /predict.
std::string predict_request(const std::string& model, const torch::Tensor& rows) {
  json list = json::array();
  for (int64_t i = 0; i < rows.size(0); ++i) list.push_back(floats_of(rows[i]));
  return test::post_request("/models/" + model + "/predict", json{{"rows", list}}.dump(),
                            "Content-Type: application/json\r\n");
}

TEST_F(ServeAnswers, OfImagesAreThoseOfPredictForPixelsAsFloatsAndAsBytes) {
  const char* const folder = std::getenv("MNIST_DIR");
  if (folder == nullptr) GTEST_SKIP() << "MNIST_DIR isn't set";
  std::map<std::string, NamedTensors> predicted;
  torch::Tensor images;
  seed_everything(3);
  const auto predict = [&](Module& model, const std::string& name, bool standardize) {
    MNISTDataModule data(
        {.data_dir = folder, .download = false, .batch_size = 64, .standardize = standardize});
    train(model, data, name);
    MNISTDataModule one_by_one(
        {.data_dir = folder, .download = false, .batch_size = 1, .standardize = standardize});
    predicted[name] = Trainer({.accelerator = "cpu", .limit_predict_batches = kImages})
                          .predict(model, one_by_one);
    if (standardize) return;
    const auto loaders = one_by_one.predict_dataloader();
    auto reader = loaders.front().open();
    std::vector<torch::Tensor> rows;
    for (Batch batch; std::ssize(rows) < kImages && reader.next(batch);) {
      rows.push_back(batch.input().clone());
    }
    images = torch::cat(rows);
  };
  MLP net({.hidden_sizes = {16}});
  predict(net, "net", false);
  LogisticRegression standardized({});
  predict(standardized, "standardized", true);
  ASSERT_EQ(images.sizes().vec(), (std::vector<int64_t>{kImages, 1, 28, 28}));
  const auto bytes = images.mul(255).round();
  ASSERT_EQ(bytes.max().item<float>(), 255.0F);

  ServingProcess service(folder_.path(),
                         {"net=net.ckpt", "standardized=standardized.ckpt", "--port", "0"});
  RawClient client(service.port());
  for (const auto& [name, outputs] : predicted) {
    ASSERT_EQ(outputs.at(1).first, "probability");
    const auto expected = outputs.at(1).second;
    for (int64_t i = 0; i < kImages; ++i) {
      const auto pixels = bytes.narrow(0, i, 1);
      const auto row = floats_of(expected[i]);
      const std::string what = name + ", image " + std::to_string(i);
      EXPECT_EQ(probabilities_in(client.ask(infer_request(name, "UINT8", pixels))), row) << what;
      EXPECT_EQ(probabilities_in(client.ask(binary_request(name, "UINT8", pixels))), row) << what;
      const auto image = images.narrow(0, i, 1);
      // The means of standardisation are those of numbers up to 255, to which floats are scaled.
      const auto expect_float = name == "standardized" ? expect_near : expect_same;
      expect_float(probabilities_in(client.ask(infer_request(name, "FP32", image))), row, what);
      expect_float(probabilities_in(client.ask(binary_request(name, "FP32", image))), row, what);
      expect_float(probabilities_in(client.ask(predict_request(name, image.flatten(1)))), row,
                   what);
    }
    const auto all = floats_of(expected);
    for (const auto& request :
         {infer_request(name, "UINT8", bytes), binary_request(name, "FP32", images),
          predict_request(name, images.flatten(1))}) {
      expect_near(probabilities_in(client.ask(request)), all, name + ", all images");
    }
  }
}

TEST_F(ServeAnswers, OfTablesAreThoseOfPredictForCategoriesMissingCellsAndGroups) {
  {
    std::ofstream file(folder_ / "t.csv");
    file << "plan,age,shop,churn\n";
    for (int i = 0; i < 24; ++i) {
      file << (i % 3 == 0 ? "\"pro, max\"" : "basic") << ","
           << (i == 5 ? "" : std::to_string(20 + i)) << "," << (i % 4 < 2 ? "Rome" : "Oslo") << ","
           << (i % 5 < 2 ? "yes" : "no") << "\n";
    }
  }
  const auto options_of = [&](int64_t batch_size, const std::string& group) {
    TableDataModuleOptions options{.x = (folder_ / "t.csv").string(),
                                   .target = "churn",
                                   .group = group,
                                   .missing = "mean",
                                   .standardize = true,
                                   .batch_size = batch_size,
                                   .val_split = 0.0,
                                   .test_split = 0.0};
    return options;
  };
  LogisticRegression one({.num_classes = 2});
  TableDataModule plain(options_of(8, ""));
  train(one, plain, "one");
  ManyRegressions many({.C = {1.0}});
  TableDataModule grouped(options_of(8, "shop"));
  train(many, grouped, "many");
  const auto predicted = [&](Module& model, const std::string& group) {
    TableDataModule one_by_one(options_of(1, group));
    return Trainer({.accelerator = "cpu"}).predict(model, one_by_one);
  };
  const std::map<std::string, NamedTensors> expected = {{"one", predicted(one, "")},
                                                        {"many", predicted(many, "shop")}};

  ServingProcess service(folder_.path(), {"one=one.ckpt", "many=many.ckpt", "--port", "0"});
  RawClient client(service.port());
  const std::string csv = test::read_file(folder_ / "t.csv");
  const auto lines = test::lines_of(csv);
  for (const auto& [name, outputs] : expected) {
    const std::string path = "/models/" + name + "/predict";
    const auto ask = [&](const std::string& body, const char* type) {
      const auto response =
          client.ask(test::post_request(path, body, std::string("Content-Type: ") + type + "\r\n"));
      EXPECT_EQ(response.status, 200) << response.body;
      return json::parse(response.body, nullptr, false).value("predictions", json::array());
    };
    /// The numbers of a row that the answer must have, by the names of the outputs.
    const auto expect_row = [&outputs = outputs](const json& answer, int64_t row,
                                                 double tolerance) {
      for (const auto& [output, values] : outputs) {
        const std::string key =
            output == "probability" && answer.contains("probabilities") ? "probabilities" : output;
        ASSERT_TRUE(answer.contains(key)) << key << ": " << answer;
        const auto wanted = floats_of(values[row]);
        const auto found = answer[key].is_array() ? answer[key].get<std::vector<float>>()
                                                  : std::vector<float>{answer[key].get<float>()};
        ASSERT_EQ(found.size(), wanted.size()) << answer;
        for (size_t i = 0; i < found.size(); ++i) {
          EXPECT_NEAR(found[i], wanted[i], tolerance) << key << " of row " << row;
        }
      }
    };
    for (int i = 0; i < 24; ++i) {
      json object = {{"plan", i % 3 == 0 ? "pro, max" : "basic"}, {"age", 20 + i}};
      if (i == 5) object["age"] = nullptr;
      object["shop"] = i % 4 < 2 ? "Rome" : "Oslo";
      const auto by_name = ask(json{{"rows", json::array({object})}}.dump(), "application/json");
      ASSERT_EQ(by_name.size(), 1U);
      expect_row(by_name[0], i, 0.0);
      const auto by_header =
          ask(lines[0] + "\n" + lines[static_cast<size_t>(i) + 1] + "\n", "text/csv");
      ASSERT_EQ(by_header.size(), 1U);
      expect_row(by_header[0], i, 0.0);
    }
    const auto all = ask(csv, "text/csv");
    ASSERT_EQ(all.size(), 24U);
    for (int i = 0; i < 24; ++i) expect_row(all[static_cast<size_t>(i)], i, 1e-6);
  }
  const auto unknown = client.ask(test::post_request("/models/many/predict",
                                                     R"({"rows":[{"plan":"basic","shop":"Bern"}]})",
                                                     "Content-Type: application/json\r\n"));
  EXPECT_EQ(unknown.status, 400) << unknown.body;
  EXPECT_NE(unknown.body.find("Bern"), std::string::npos) << unknown.body;
}

TEST_F(ServeAnswers, InCsvAreTheFileThatPredictWrites) {
  {
    std::ofstream file(folder_ / "t.csv");
    file << "age,height,churn\n";
    for (int i = 0; i < 24; ++i) {
      file << 20 + i << "," << 150 + 7 * i % 40 << "," << (i % 5 < 2 ? "yes" : "\"no, never\"")
           << "\n";
    }
  }
  const auto options_of = [&](int64_t batch_size) {
    return TableDataModuleOptions{.x = (folder_ / "t.csv").string(),
                                  .target = "churn",
                                  .standardize = true,
                                  .batch_size = batch_size,
                                  .val_split = 0.0,
                                  .test_split = 0.0};
  };
  LogisticRegression model({.num_classes = 2});
  TableDataModule data(options_of(8));
  train(model, data, "m");
  TableDataModule one_by_one(options_of(1));
  const auto predicted = Trainer({.accelerator = "cpu"}).predict(model, one_by_one);
  write_predictions_csv(folder_ / "p.csv", predicted, one_by_one.class_names(), {});
  const auto written = test::lines_of(test::read_file(folder_ / "p.csv"));
  ASSERT_EQ(written.size(), 25U);
  EXPECT_NE(written[0].find("class_name"), std::string::npos) << written[0];

  ServingProcess service(folder_.path(), {"m=m.ckpt", "--port", "0"});
  RawClient client(service.port());
  const auto rows = test::lines_of(test::read_file(folder_ / "t.csv"));
  for (size_t i = 1; i < rows.size(); ++i) {
    const auto response =
        client.ask(test::post_request("/models/m/predict", rows[0] + "\n" + rows[i] + "\n",
                                      "Content-Type: text/csv\r\nAccept: text/csv\r\n"));
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.body, written[0] + "\n" + written[i] + "\n") << "row " << i;
  }
}

}  // namespace
}  // namespace levin::serve_answers_test
