// Measures the throughput of parameter servers beside that of TCP itself, over this host's loopback
// interface.
//   parameter_server [ROUNDS=5] [MIB=64] [LIMIT]
// Workers push and pull a table of MIB MiB in float32, without waiting for each other; one and two
// workers, and one and two servers, each a process of its own. Beside them, the same processes send
// and receive as many bytes with nothing but send and recv, in pieces of the same size, from and to
// memory of the same size. Both take turns. Medians over the rounds are printed. The exit status is
// 1 if, with one worker and one server, pushes and pulls together have less than LIMIT times the
// throughput of TCP.
#include <levin/framework/parameter_server/parameter_server.h>

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "median.h"

namespace {

using levin::Descriptor;
using levin::ServerAddress;

constexpr const char* kToken = "bench";
constexpr int kMessages = 4;  // in each direction, for one measurement

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Reads or writes a value; ends the process if the other side of the pipe has ended.
template <class T>
T get(const Descriptor& pipe) {
  T value{};
  if (::read(pipe.get(), &value, sizeof(value)) != sizeof(value)) ::_exit(1);
  return value;
}
template <class T>
void put(const Descriptor& pipe, const T& value) {
  if (::write(pipe.get(), &value, sizeof(value)) != sizeof(value)) ::_exit(1);
}

/// A process that runs `work` with a pipe to it and one from it; ended when this is destroyed.
struct Process {
  explicit Process(const std::function<void(const Descriptor&, const Descriptor&)>& work) {
    std::fflush(nullptr);
    id = ::fork();
    if (id == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      try {
        work(to.read, from.write);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
      }
      ::_exit(1);
    }
    to.read.close();
    from.write.close();
  }
  ~Process() {
    ::kill(id, SIGKILL);
    ::waitpid(id, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  levin::Pipe to = levin::Pipe::open();
  levin::Pipe from = levin::Pipe::open();
  pid_t id = -1;
};

/// What a worker measures.
enum class Task : char { tcp_send = 's', tcp_receive = 'r', push = 'p', pull = 'l' };

/// Answers 's' by receiving a part of the table and sending a byte, and 'r' by sending the part.
void serve_bytes(const Descriptor& socket, size_t bytes) {
  levin::ServerMemory memory(bytes);
  std::fill_n(memory.data(), bytes, std::byte{1});
  for (char task = 0; levin::receive_all(socket, &task, 1);) {
    if (task == static_cast<char>(Task::tcp_send)) {
      if (!levin::receive_all(socket, memory.data(), bytes)) return;
      if (!levin::send_all(socket, &task, 1)) return;
    } else if (!levin::send_all(socket, memory.data(), bytes)) {
      return;
    }
  }
}

/// A server of `numbers` numbers, and a server of bytes beside it.
void serve(int64_t server, int64_t servers, int64_t workers, int64_t numbers,
           const Descriptor& out) {
  levin::ParameterServer own(
      {.workers = workers,
       .staleness = levin::ServerClock::kUnbounded,
       .rows = numbers,
       .token = kToken,
       .server = server,
       .servers = servers},
      std::vector<float>(static_cast<size_t>(numbers)),
      [](levin::ServerSpan values, std::span<const levin::ServerGradient> gradients) {
        for (const auto& gradient : gradients) levin::add_gradient(values, 1, gradient, -0.1);
      });
  put(out, own.port());
  ServerAddress address;
  const Descriptor listener = levin::listen_at(address);
  put(out, address.port);
  std::vector<std::thread> threads;
  while (threads.size() < static_cast<size_t>(workers)) {
    pollfd wait{listener.get(), POLLIN, 0};
    ::poll(&wait, 1, -1);
    Descriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.is_open()) continue;
    levin::prepare_connection(socket);
    threads.emplace_back([socket = std::move(socket), numbers] {
      serve_bytes(socket, static_cast<size_t>(numbers) * sizeof(float));
    });
  }
  for (auto& thread : threads) thread.join();
}

/// Moves each server's part of the table, all at the same time.
void move_bytes(const std::vector<Descriptor>& sockets, Task task, std::byte* table, size_t part) {
  std::vector<std::thread> others;
  const auto move = [&](size_t i) {
    auto letter = static_cast<char>(task);
    std::byte* memory = table + i * part;
    bool is_done = levin::send_all(sockets[i], &letter, 1);
    if (task == Task::tcp_send) {
      is_done = is_done && levin::send_all(sockets[i], memory, part) &&
                levin::receive_all(sockets[i], &letter, 1);
    } else {
      is_done = is_done && levin::receive_all(sockets[i], memory, part);
    }
    if (!is_done) ::_exit(1);
  };
  for (size_t i = 1; i < sockets.size(); ++i) others.emplace_back(move, i);
  move(0);
  for (auto& other : others) other.join();
}

/// Does the tasks that it is told, and says how many seconds each took.
void work(int64_t worker, const std::vector<ServerAddress>& servers,
          const std::vector<ServerAddress>& bytes, int64_t numbers, const Descriptor& in,
          const Descriptor& out) {
  const size_t table = static_cast<size_t>(numbers) * sizeof(float);
  levin::ServerMemory memory(table);
  std::fill_n(memory.data(), table, std::byte{0});
  const levin::ServerSpan values(levin::ServerType::float32, memory.data(),
                                 static_cast<size_t>(numbers));
  levin::ParameterClient client(servers, worker, kToken);
  std::vector<Descriptor> sockets;
  for (const auto& address : bytes) sockets.push_back(levin::connect_to(address, 60.0));
  for (;;) {
    const auto task = get<Task>(in);
    const double start = now();
    for (int i = 0; i < kMessages; ++i) {
      if (task == Task::push) {
        client.push(values);
      } else if (task == Task::pull) {
        client.pull(values);
      } else {
        move_bytes(sockets, task, memory.data(), table / sockets.size());
      }
    }
    // A push returns when it has been received; what is still to be applied counts.
    if (task == Task::push) client.pull(values.part(0, 1), {0, 1});
    put(out, now() - start);
  }
}

/// Measures some workers and servers, and prints a line. Returns the throughput of pushes and pulls
/// as a share of TCP's.
double measure(int64_t workers, int64_t servers, int rounds, int64_t mebibytes) {
  const int64_t numbers = (mebibytes << 20) / static_cast<int64_t>(sizeof(float));
  std::vector<std::unique_ptr<Process>> server_processes, worker_processes;
  std::vector<ServerAddress> addresses, bytes;
  for (int64_t i = 0; i < servers; ++i) {
    server_processes.push_back(
        std::make_unique<Process>([&](const Descriptor&, const Descriptor& out) {
          serve(i, servers, workers, numbers / servers, out);
        }));
    addresses.push_back({.port = get<uint16_t>(server_processes.back()->from.read)});
    bytes.push_back({.port = get<uint16_t>(server_processes.back()->from.read)});
  }
  for (int64_t i = 0; i < workers; ++i) {
    worker_processes.push_back(
        std::make_unique<Process>([&](const Descriptor& in, const Descriptor& out) {
          work(i, addresses, bytes, numbers, in, out);
        }));
  }
  const auto run = [&](Task task) {
    for (auto& worker : worker_processes) put(worker->to.write, task);
    double seconds = 0.0;
    for (auto& worker : worker_processes) {
      seconds = std::max(seconds, get<double>(worker->from.read));
    }
    return seconds;
  };
  constexpr Task kTasks[] = {Task::tcp_send, Task::push, Task::tcp_receive, Task::pull};
  for (const Task task : kTasks) run(task);  // memory is there, and windows are open
  std::vector<double> seconds[4], push, pull, both;
  for (int round = 0; round < rounds; ++round) {
    double one[4];
    for (size_t i = 0; i < 4; ++i) seconds[i].push_back(one[i] = run(kTasks[i]));
    push.push_back(one[0] / one[1]);
    pull.push_back(one[2] / one[3]);
    both.push_back((one[0] + one[2]) / (one[1] + one[3]));
  }
  const auto rate = [&](size_t i) {
    const double moved = static_cast<double>(workers * kMessages * (mebibytes << 20));
    return moved / bench::median(seconds[i]) / 1e9;
  };
  std::printf("%7lld %7lld %9.2f %9.2f %9.2f %9.2f %7.2f %7.2f %7.2f\n",
              static_cast<long long>(workers), static_cast<long long>(servers), rate(0), rate(1),
              rate(2), rate(3), bench::median(push), bench::median(pull), bench::median(both));
  std::fflush(stdout);
  return bench::median(both);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const int64_t mebibytes = argc > 2 ? std::atoll(argv[2]) : 64;
  const double limit = argc > 3 ? std::atof(argv[3]) : 0.0;
  if (rounds < 1 || mebibytes < 1) {
    std::fprintf(stderr, "usage: parameter_server [ROUNDS=5] [MIB=64] [LIMIT]\n");
    return 2;
  }
  std::printf("%lld MiB of float32, GB/s of all workers, and shares of TCP's throughput\n",
              static_cast<long long>(mebibytes));
  std::printf("workers servers  TCP send      push  TCP recv      pull    push    pull    both\n");
  bool is_met = true;
  for (const int64_t workers : {1, 2}) {
    for (const int64_t servers : {1, 2}) {
      const double share = measure(workers, servers, rounds, mebibytes);
      if (workers == 1 && servers == 1) is_met = share >= limit;
    }
  }
  return is_met ? 0 : 1;
}
