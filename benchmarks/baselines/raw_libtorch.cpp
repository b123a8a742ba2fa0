// Trains with LibTorch alone, by loops written by hand. Levin is compared with them.
//
//   raw_libtorch [--loop fused] [--problem logistic_regression] [--storage float32] [--mnist DIR]
//                [--tables DIR] [--batch-size 128] [--epochs 3] [--threads 1]
//
//   data_loader   torch::data's loader, Stack, optim::Adam
//   gathered      batches by index_select, optim::Adam
//   fused         batches by index_select, at::_fused_adam_
//   by_hand       no autograd: ATen calls write the gradient of logistic regression into buffers
//   that
//                 are allocated once; at::_fused_adam_
//
// Prints a line of JSON. Only the training is timed.

#include <ATen/Version.h>
#include <torch/torch.h>

#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "data.h"
#include "program.h"

namespace {

using bench::Arguments;
using bench::Problem;
using bench::Recorder;
using torch::Tensor;

constexpr double kLearningRate = 1e-3;

// --- data and model ----------------------------------------------------------------------------

struct Part {
  Tensor x;  // [rows, features], float or uint8
  Tensor y;  // [rows], int64
};

Part load_mnist(const Arguments& arguments, const std::string& name, int64_t rows) {
  Part part;
  part.x = torch::empty({rows, bench::kPixels}, torch::kUInt8);
  const std::string path = arguments.mnist + "/" + name;
  bench::read_idx(path + "-images-idx3-ubyte", part.x.data_ptr<uint8_t>(), part.x.numel());
  if (arguments.storage == "float32") part.x = part.x.to(torch::kFloat).div_(255);
  const Tensor labels = torch::empty({rows}, torch::kUInt8);
  bench::read_idx(path + "-labels-idx1-ubyte", labels.data_ptr<uint8_t>(), rows);
  part.y = labels.to(torch::kLong);
  return part;
}

Part load_table(const Arguments& arguments) {
  const float scale = arguments.problem == "digits" ? 1.0F / 16 : 1.0F;
  auto table = bench::read_csv(arguments.tables + "/" + arguments.problem + ".csv", scale);
  const auto rows = static_cast<int64_t>(table.y.size());
  const auto features = static_cast<int64_t>(table.x.size()) / rows;
  return {torch::from_blob(table.x.data(), {rows, features}).clone(),
          torch::from_blob(table.y.data(), {rows}, torch::kLong).clone()};
}

// Returns the pixels as the model expects them, from 0 to 1.
Tensor as_input(const Tensor& x) {
  return x.scalar_type() == torch::kUInt8 ? x.to(torch::kFloat).mul_(1.0 / 255) : x;
}

class Net {
 public:
  explicit Net(const Problem& problem) {
    int64_t in = problem.features;
    for (const int64_t out : problem.hidden_sizes) {
      layers_.emplace_back(in, out);
      in = out;
    }
    layers_.emplace_back(in, problem.classes);
  }
  Tensor operator()(Tensor x) {
    for (size_t i = 0; i + 1 < layers_.size(); ++i) x = torch::relu(layers_[i]->forward(x));
    return layers_.back()->forward(x);
  }
  std::vector<Tensor> parameters() const {
    std::vector<Tensor> result;
    for (const auto& layer : layers_) {
      for (const Tensor& parameter : layer->parameters()) result.push_back(parameter);
    }
    return result;
  }

 private:
  std::vector<torch::nn::Linear> layers_;
};

// --- the loops ---------------------------------------------------------------------------------

// Uses torch::data, which reads the rows one by one and stacks them.
class Rows : public torch::data::Dataset<Rows> {
 public:
  explicit Rows(const Part& part) : part_(part) {}
  torch::data::Example<> get(size_t index) override {
    const auto row = static_cast<int64_t>(index);
    return {part_.x[row], part_.y[row]};
  }
  std::optional<size_t> size() const override { return static_cast<size_t>(part_.x.size(0)); }

 private:
  Part part_;
};

void data_loader(Net& model, const Part& train, const Arguments& arguments, Recorder& recorder) {
  torch::optim::Adam optimizer(model.parameters(), kLearningRate);
  auto loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      Rows(train).map(torch::data::transforms::Stack<>()),
      static_cast<size_t>(arguments.batch_size));
  for (int64_t epoch = 0; epoch < arguments.epochs; ++epoch) {
    for (auto& batch : *loader) {
      optimizer.zero_grad();
      torch::cross_entropy_loss(model(as_input(batch.data)), batch.target).backward();
      optimizer.step();
      recorder.step();
      if (arguments.only_first_step != 0) return;
    }
    recorder.epoch();
  }
}

// Calls `step` with the shuffled row numbers of each batch of each epoch.
template <class Step>
void each_batch(int64_t rows, const Arguments& arguments, Recorder& recorder, const Step& step) {
  for (int64_t epoch = 0; epoch < arguments.epochs; ++epoch) {
    for (const Tensor& index : torch::randperm(rows).split(arguments.batch_size)) {
      step(index);
      recorder.step();
      if (arguments.only_first_step != 0) return;
    }
    recorder.epoch();
  }
}

void gathered(Net& model, const Part& train, const Arguments& arguments, Recorder& recorder) {
  torch::optim::Adam optimizer(model.parameters(), kLearningRate);
  each_batch(train.x.size(0), arguments, recorder, [&](const Tensor& index) {
    optimizer.zero_grad();
    const Tensor logits = model(as_input(train.x.index_select(0, index)));
    torch::cross_entropy_loss(logits, train.y.index_select(0, index)).backward();
    optimizer.step();
  });
}

// Adam with the fused kernel, which updates parameters and moments in a single pass.
class FusedAdam {
 public:
  explicit FusedAdam(std::vector<Tensor> parameters) : parameters_(std::move(parameters)) {
    for (const Tensor& parameter : parameters_) {
      first_moments_.push_back(torch::zeros_like(parameter));
      second_moments_.push_back(torch::zeros_like(parameter));
      steps_.push_back(torch::zeros({}));
    }
  }
  void step(const std::vector<Tensor>& gradients) {
    for (Tensor& step : steps_) step.add_(1);
    at::_fused_adam_(parameters_, gradients, first_moments_, second_moments_, {}, steps_,
                     kLearningRate, /*beta1=*/0.9, /*beta2=*/0.999, /*weight_decay=*/0.0,
                     /*eps=*/1e-8, /*amsgrad=*/false, /*maximize=*/false);
  }

 private:
  std::vector<Tensor> parameters_, first_moments_, second_moments_, steps_;
};

void fused(Net& model, const Part& train, const Arguments& arguments, Recorder& recorder) {
  const std::vector<Tensor> parameters = model.parameters();
  FusedAdam optimizer(parameters);
  each_batch(train.x.size(0), arguments, recorder, [&](const Tensor& index) {
    const Tensor logits = model(as_input(train.x.index_select(0, index)));
    const Tensor loss = torch::cross_entropy_loss(logits, train.y.index_select(0, index));
    optimizer.step(torch::autograd::grad({loss}, parameters));
  });
}

// The gradient of logistic regression is (softmax - one-hot)^T x / rows.
void by_hand(Net& model, const Part& train, const Arguments& arguments, Recorder& recorder) {
  const auto parameters = model.parameters();
  if (parameters.size() != 2 || train.x.scalar_type() != torch::kFloat) {
    throw std::invalid_argument("by_hand knows only logistic regression from float32");
  }
  torch::NoGradGuard no_grad;
  const Tensor weight = parameters[0], bias = parameters[1];
  FusedAdam optimizer(parameters);
  std::vector<Tensor> gradients{torch::zeros_like(weight), torch::zeros_like(bias)};
  const Tensor inputs = torch::empty({arguments.batch_size, train.x.size(1)});
  const Tensor labels = torch::empty({arguments.batch_size}, torch::kLong);
  const Tensor minus_one = torch::full({arguments.batch_size, 1}, -1.0F);
  each_batch(train.x.size(0), arguments, recorder, [&](const Tensor& index) {
    const int64_t rows = index.size(0);
    Tensor x = inputs.narrow(0, 0, rows), y = labels.narrow(0, 0, rows);
    at::index_select_out(x, train.x, 0, index);
    at::index_select_out(y, train.y, 0, index);
    Tensor error = at::softmax(at::addmm(bias, x, weight.t()), 1);
    error.scatter_add_(1, y.unsqueeze(1), minus_one.narrow(0, 0, rows)).div_(rows);
    at::mm_out(gradients[0], error.t(), x);
    at::sum_out(gradients[1], error, 0);
    optimizer.step(gradients);
  });
}

struct Loop {
  const char* name;
  void (*train)(Net&, const Part&, const Arguments&, Recorder&);
};

const Loop& find_loop(const std::string& name) {
  static constexpr Loop kLoops[] = {
      {"data_loader", data_loader}, {"gathered", gathered}, {"fused", fused}, {"by_hand", by_hand}};
  for (const Loop& loop : kLoops) {
    if (name == loop.name) return loop;
  }
  throw std::invalid_argument("no loop is called " + name);
}

void run(const Arguments& arguments) {
  Recorder recorder;
  const Problem problem = bench::find_problem(arguments.problem);
  const Loop& loop = find_loop(arguments.loop);
  torch::set_num_threads(std::stoi(arguments.threads));
  torch::manual_seed(0);
  const Part train = problem.is_mnist() ? load_mnist(arguments, "train", bench::kTrainRows)
                                        : load_table(arguments);
  Net model(problem);
  recorder.start();
  loop.train(model, train, arguments, recorder);
  recorder.finish();

  double accuracy = 0;
  if (arguments.only_first_step == 0) {
    torch::NoGradGuard no_grad;
    const Part test = problem.is_mnist() ? load_mnist(arguments, "t10k", bench::kTestRows) : train;
    accuracy =
        model(as_input(test.x)).argmax(1).eq(test.y).to(torch::kDouble).mean().item<double>();
  }
  recorder.print(arguments, train.x.size(0), accuracy,
                 std::string("LibTorch ") + TORCH_VERSION + ", " + at::get_cpu_capability());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(bench::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "raw_libtorch: %s\n", error.what());
    return 1;
  }
}
