#include <levin/serving/backend/statistics_text.h>

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace levin {

namespace {

/// The machine's memory in bytes, all of it and what is used.
void read_machine_memory(ProcessNumbers& numbers) {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::string rest;
  uint64_t kilobytes = 0;
  uint64_t available = 0;
  while (file >> name >> kilobytes) {
    std::getline(file, rest);
    if (name == "MemTotal:") numbers.memory_total = kilobytes * 1024;
    if (name == "MemAvailable:") available = kilobytes * 1024;
  }
  if (available < numbers.memory_total) numbers.memory_used = numbers.memory_total - available;
}

void read_process(ProcessNumbers& numbers) {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    numbers.process_cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0;
  if (file >> pages >> pages) {
    numbers.process_memory = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  std::error_code error;
  std::filesystem::directory_iterator open_files("/proc/self/fd", error);
  if (!error) {
    while (open_files != std::filesystem::directory_iterator() && !error) {
      ++numbers.process_open_files;
      open_files.increment(error);
    }
  }
}

}  // namespace

ProcessMeter::ProcessMeter() { read(); }

ProcessNumbers ProcessMeter::read() {
  ProcessNumbers numbers;
  read_machine_memory(numbers);
  read_process(numbers);
  std::ifstream file("/proc/stat");
  std::string name;
  file >> name;
  uint64_t all = 0;
  uint64_t idle = 0;
  uint64_t ticks = 0;
  // user, nice, system, idle, iowait, irq, softirq, steal; the rest is part of user already.
  for (int field = 0; field < 8 && file >> ticks; ++field) {
    all += ticks;
    if (field == 3 || field == 4) idle += ticks;
  }
  const std::lock_guard lock(mutex_);
  const uint64_t busy = all - idle;
  if (all > all_ticks_ && busy >= busy_ticks_) {
    numbers.cpu_utilization =
        static_cast<double>(busy - busy_ticks_) / static_cast<double>(all - all_ticks_);
    if (numbers.cpu_utilization > 1.0) numbers.cpu_utilization = 1.0;
  }
  busy_ticks_ = busy;
  all_ticks_ = all;
  return numbers;
}

}  // namespace levin
