// MNIST softmax regression on bare LibTorch: the loops one would write by hand, to measure against.
//
//   raw_libtorch [--mnist DIR] [--epochs 3] [--batch-size 128] [--threads 1] [--rounds 1]
//   [PROGRAM...]
//
// DIR (by default $MNIST_DIR) holds the four IDX files, gzipped or not. With several rounds the
// programs take turns, so that a noisy machine treats them alike. Only the training is timed.

#include <ATen/Version.h>
#include <torch/torch.h>
#include <zlib.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using torch::Tensor;
using Batch = std::pair<Tensor, Tensor>;

constexpr double kLearningRate = 1e-3;

struct Options {
  std::string mnist;
  int64_t epochs = 3;
  int64_t batch_size = 128;
  int threads = 1;
  int rounds = 1;
  std::vector<std::string> programs;
};

// --- data --------------------------------------------------------------------------------------

std::string read_file(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");  // reads plain files as they are
  if (file == nullptr) file = gzopen((path + ".gz").c_str(), "rb");
  if (file == nullptr) throw std::runtime_error("can't open " + path + "[.gz]");
  std::string content;
  std::vector<char> part(1 << 20);
  int count = 0;
  while ((count = gzread(file, part.data(), static_cast<unsigned>(part.size()))) > 0) {
    content.append(part.data(), static_cast<size_t>(count));
  }
  gzclose(file);
  if (count < 0) throw std::runtime_error("can't read " + path);
  return content;
}

// An IDX file of unsigned bytes as a tensor [rows, the rest flattened].
Tensor read_idx(const std::string& path) {
  const std::string content = read_file(path);
  const auto byte = [&](size_t i) {
    return static_cast<int64_t>(static_cast<uint8_t>(content[i]));
  };
  if (content.size() < 4 || byte(0) != 0 || byte(1) != 0 || byte(2) != 8) {
    throw std::runtime_error(path + " is not an IDX file of bytes");
  }
  const size_t header = 4 + 4 * static_cast<size_t>(byte(3));
  if (content.size() < header || header < 8) throw std::runtime_error(path + " is cut short");
  const int64_t rows = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
  const auto size = static_cast<int64_t>(content.size() - header);
  if (rows == 0 || size % rows != 0) throw std::runtime_error(path + " is cut short");
  // from_blob takes a non-const pointer; clone() copies before anything could write.
  char* data = const_cast<char*>(content.data()) + header;
  return torch::from_blob(data, {rows, size / rows}, torch::kUInt8).clone();
}

struct Part {
  Tensor bytes;   // uint8 [rows, 784]
  Tensor images;  // float, 0 to 1 [rows, 784]
  Tensor labels;  // int64 [rows]
};

Part load(const std::string& folder, const std::string& name) {
  Part part;
  part.bytes = read_idx(folder + "/" + name + "-images-idx3-ubyte");
  part.images = part.bytes.to(torch::kFloat).div_(255);
  part.labels = read_idx(folder + "/" + name + "-labels-idx1-ubyte").squeeze(1).to(torch::kLong);
  return part;
}

// --- the programs ------------------------------------------------------------------------------

// torch::data's way: rows one by one, stacked.
class Rows : public torch::data::Dataset<Rows> {
 public:
  explicit Rows(const Part& part) : part_(part) {}
  torch::data::Example<> get(size_t index) override {
    const auto row = static_cast<int64_t>(index);
    return {part_.images[row], part_.labels[row]};
  }
  std::optional<size_t> size() const override { return static_cast<size_t>(part_.images.size(0)); }

 private:
  Part part_;
};

void with_data_loader(torch::nn::Linear model, const Part& train, const Options& options) {
  torch::optim::Adam optimizer(model->parameters(), kLearningRate);
  auto loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      Rows(train).map(torch::data::transforms::Stack<>()), static_cast<size_t>(options.batch_size));
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    for (auto& batch : *loader) {
      optimizer.zero_grad();
      torch::cross_entropy_loss(model(batch.data), batch.target).backward();
      optimizer.step();
    }
  }
}

// Calls `step` with the shuffled row numbers of each batch of each epoch.
void each_batch(int64_t rows, const Options& options, const std::function<void(Tensor)>& step) {
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    for (const Tensor& index : torch::randperm(rows).split(options.batch_size)) step(index);
  }
}

void gathered(torch::nn::Linear model, const Part& train, const Options& options) {
  torch::optim::Adam optimizer(model->parameters(), kLearningRate);
  each_batch(train.images.size(0), options, [&](const Tensor& index) {
    optimizer.zero_grad();
    auto logits = model(train.images.index_select(0, index));
    torch::cross_entropy_loss(logits, train.labels.index_select(0, index)).backward();
    optimizer.step();
  });
}

// Adam by the one kernel that updates parameter and moments in a single pass.
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

void train_fused(torch::nn::Linear model, int64_t rows, const Options& options,
                 const std::function<Batch(const Tensor&)>& get_batch) {
  const std::vector<Tensor> parameters = model->parameters();
  FusedAdam optimizer(parameters);
  each_batch(rows, options, [&](const Tensor& index) {
    const auto batch = get_batch(index);
    auto loss = torch::cross_entropy_loss(model(batch.first), batch.second);
    optimizer.step(torch::autograd::grad({loss}, parameters));
  });
}

void fused(torch::nn::Linear model, const Part& train, const Options& options) {
  train_fused(model, train.images.size(0), options, [&](const Tensor& index) -> Batch {
    return {train.images.index_select(0, index), train.labels.index_select(0, index)};
  });
}

void fused_from_bytes(torch::nn::Linear model, const Part& train, const Options& options) {
  train_fused(model, train.images.size(0), options, [&](const Tensor& index) -> Batch {
    return {train.bytes.index_select(0, index).to(torch::kFloat).mul_(1.0 / 255),
            train.labels.index_select(0, index)};
  });
}

// No shuffling, so no gathering: each batch is a view of the next rows.
void fused_unshuffled(torch::nn::Linear model, const Part& train, const Options& options) {
  const int64_t rows = train.images.size(0);
  int64_t start = 0;
  train_fused(model, rows, options, [&](const Tensor& index) -> Batch {
    const int64_t from = std::exchange(start, (start + index.size(0)) % rows);
    return {train.images.narrow(0, from, index.size(0)),
            train.labels.narrow(0, from, index.size(0))};
  });
}

// No autograd: the gradient (softmax - one-hot)^T x / rows by hand, into buffers made once.
void by_hand(torch::nn::Linear model, const Part& train, const Options& options) {
  torch::NoGradGuard no_grad;
  const Tensor weight = model->weight, bias = model->bias;
  FusedAdam optimizer({weight, bias});
  std::vector<Tensor> gradients{torch::zeros_like(weight), torch::zeros_like(bias)};
  const Tensor images = torch::empty({options.batch_size, train.images.size(1)});
  const Tensor labels = torch::empty({options.batch_size}, torch::kLong);
  const Tensor minus_one = torch::full({options.batch_size, 1}, -1.0F);
  each_batch(train.images.size(0), options, [&](const Tensor& index) {
    const int64_t rows = index.size(0);
    Tensor x = images.narrow(0, 0, rows), y = labels.narrow(0, 0, rows);
    at::index_select_out(x, train.images, 0, index);
    at::index_select_out(y, train.labels, 0, index);
    Tensor error = at::softmax(at::addmm(bias, x, weight.t()), 1);
    error.scatter_add_(1, y.unsqueeze(1), minus_one.narrow(0, 0, rows)).div_(rows);
    at::mm_out(gradients[0], error.t(), x);
    at::sum_out(gradients[1], error, 0);
    optimizer.step(gradients);
  });
}

struct Program {
  const char* name;
  void (*train)(torch::nn::Linear, const Part&, const Options&);
};

constexpr Program kPrograms[] = {
    {"data_loader", with_data_loader},  // LibTorch's DataLoader, Stack, optim::Adam
    {"gathered", gathered},             // index_select batches, optim::Adam
    {"fused", fused},                   // index_select batches, at::_fused_adam_
    {"fused_bytes", fused_from_bytes},  // the same from uint8 storage
    {"fused_unshuffled", fused_unshuffled},
    {"by_hand", by_hand},
};

// --- running them ------------------------------------------------------------------------------

Options parse(int argc, char** argv) {
  Options options;
  if (const char* folder = std::getenv("MNIST_DIR")) options.mnist = folder;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name.rfind("--", 0) != 0) {
      options.programs.push_back(name);
      continue;
    }
    if (i + 1 == argc) throw std::invalid_argument(name + " needs a value");
    const std::string value = argv[++i];
    if (name == "--mnist") {
      options.mnist = value;
    } else if (name == "--epochs") {
      options.epochs = std::stoll(value);
    } else if (name == "--batch-size") {
      options.batch_size = std::stoll(value);
    } else if (name == "--threads") {
      options.threads = std::stoi(value);
    } else if (name == "--rounds") {
      options.rounds = std::stoi(value);
    } else {
      throw std::invalid_argument("no option is called " + name);
    }
  }
  if (options.mnist.empty()) throw std::invalid_argument("give --mnist DIR or set MNIST_DIR");
  for (const std::string& wanted : options.programs) {
    bool known = false;
    for (const Program& program : kPrograms) known = known || wanted == program.name;
    if (!known) throw std::invalid_argument("no program is called " + wanted);
  }
  return options;
}

bool is_wanted(const Options& options, const std::string& name) {
  for (const std::string& wanted : options.programs) {
    if (wanted == name) return true;
  }
  return options.programs.empty();
}

void run(const Program& program, const Part& train, const Part& test, const Options& options) {
  torch::manual_seed(0);
  torch::nn::Linear model(784, 10);
  const auto start = std::chrono::steady_clock::now();
  program.train(model, train, options);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;

  torch::NoGradGuard no_grad;
  const double accuracy =
      model(test.images).argmax(1).eq(test.labels).to(torch::kDouble).mean().item<double>();
  const int64_t steps = (train.images.size(0) + options.batch_size - 1) / options.batch_size;
  const double epoch = elapsed.count() / static_cast<double>(options.epochs);
  std::printf("%-17s %7.3f s/epoch %7.0f us/step  test accuracy %.4f\n", program.name, epoch,
              epoch / static_cast<double>(steps) * 1e6, accuracy);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    torch::set_num_threads(options.threads);
#ifdef __OPTIMIZE__
    const char* optimised = "optimised";
#else
    const char* optimised = "NOT optimised";
#endif
    std::printf("LibTorch %s (%s), compiler %s, %s, threads %d, batch size %lld, epochs %lld\n",
                TORCH_VERSION, at::get_cpu_capability().c_str(), __VERSION__, optimised,
                options.threads, static_cast<long long>(options.batch_size),
                static_cast<long long>(options.epochs));
    const Part train = load(options.mnist, "train");
    const Part test = load(options.mnist, "t10k");
    for (int round = 0; round < options.rounds; ++round) {
      for (const Program& program : kPrograms) {
        if (is_wanted(options, program.name)) run(program, train, test, options);
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "raw_libtorch: %s\n", error.what());
    return 1;
  }
}
