// bench-native: reads a line, answers a line.
//
//   in WAY FAMILY SIZE TURNS     cycles a packet, sending included, of each turn: one thread sends a burst (past the IP stack, always
//                                alike) and takes it in
//   out WAY FAMILY SIZE TURNS    the same of sending; the far device drops
//   one WAY FAMILY SIZE COUNT    microseconds from sending one packet until it was taken in, through poll(2)
//   two WAY FAMILY SIZE MS       packets a second, and ns of CPU time a packet, with a thread that sends and one that takes in
//
// bench-native idle-xdp generic|driver DEVICE keeps an XDP program that passes everything on a device, until it is ended.
//
// FAMILY is 4 or 6, SIZE that of the IP packet. Where packets got lost the answer says how many of a thousand after "lost".
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>

#include "bench/cycles.h"
#include "bench/native/ways.h"
#include "bench/trouble.h"

namespace merlon::bench {
namespace {

constexpr std::size_t kBurstsATurn = 8;  // short: most turns are over before a neighbour wants the core

struct Question {
  std::string way;
  IpFamily family = IpFamily::kIpv4;
  std::size_t size = 64, count = 1;
};

std::unique_ptr<WayIn> open_in(const Link& link, const Question& question) {
  static const std::map<std::string, std::function<std::unique_ptr<WayIn>(const Link&, IpFamily)>> kWays = {
      {"raw", [](const Link& l, IpFamily f) { return raw_in(l, f, 1); }},
      {"raw-of-2", [](const Link& l, IpFamily f) { return raw_in(l, f, 2); }},
      {"raw-of-8", [](const Link& l, IpFamily f) { return raw_in(l, f, 8); }},
      {"ring2", [](const Link& l, IpFamily) { return ring_in(l, RingVersion::kV2, 1); }},
      {"ring2-stack",
       [](const Link& l, IpFamily) { return ring_in(l, RingVersion::kV2, 1, Beside::kStackDrops); }},
      {"ring2-stack-of-2",
       [](const Link& l, IpFamily) { return ring_in(l, RingVersion::kV2, 2, Beside::kStackDrops); }},
      {"ring2-of-2", [](const Link& l, IpFamily) { return ring_in(l, RingVersion::kV2, 2); }},
      {"ring3", [](const Link& l, IpFamily) { return ring_in(l, RingVersion::kV3, 1); }},
      {"xdp", [](const Link& l, IpFamily) { return xdp_in(l, XdpMode::kDriver); }},
      {"xdp-generic", [](const Link& l, IpFamily) { return xdp_in(l, XdpMode::kGeneric); }},
      {"drop", [](const Link& l, IpFamily) { return drop_in(l); }},
  };
  const auto found = kWays.find(question.way);
  if (found == kWays.end()) give_up("no way in is called " + question.way);
  return found->second(link, question.family);
}

std::unique_ptr<WayOut> open_out(const Link& link, const Question& question) {
  const IpFamily family = question.family;
  const std::size_t size = question.size;
  if (question.way == "raw") return raw_out(link, family, size, RawOut::kAsMerlon);
  if (question.way == "raw-bare") return raw_out(link, family, size, RawOut::kBare);
  if (question.way == "raw-connected") return raw_out(link, family, size, RawOut::kConnected);
  if (question.way == "raw-headers") return raw_out(link, family, size, RawOut::kWithHeaders);
  if (question.way == "packet") return packet_out(link, family, size);
  if (question.way == "ring") return ring_out(link, family, size);
  if (question.way == "xdp") return xdp_out(link, family, size);
  give_up("no way out is called " + question.way);
}

void say_lost(std::size_t sent, std::size_t taken) {
  if (taken < sent)
    std::printf(" lost %.1f", 1000.0 * static_cast<double>(sent - taken) / static_cast<double>(sent));
}

// Turns of one thread; the first one only warms up.
void answer_turns(const Question& question, WayOut& out, WayIn& in, bool expect) {
  std::size_t sent = 0, taken = 0;
  for (std::size_t turn = 0; turn <= question.count; ++turn) {
    std::size_t packets = 0;
    const std::uint64_t begin = cycles_begin();
    for (std::size_t i = 0; i < kBurstsATurn; ++i) {
      packets += out.send(kBurst);
      taken += in.receive();
    }
    const std::uint64_t end = cycles_end();
    sent += packets;
    if (turn != 0 && packets != 0)
      std::printf(" %.1f", static_cast<double>(end - begin) / static_cast<double>(packets));
  }
  if (!expect) return;
  for (int i = 0; i < 50 && taken < sent; ++i) {  // a ring's last block is given up a little later
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    for (std::size_t got = in.receive(); got != 0; got = in.receive()) taken += got;
  }
  say_lost(sent, taken);
}

void answer_one(const Question& question, WayOut& out, WayIn& in) {
  using Clock = std::chrono::steady_clock;
  for (std::size_t i = 0; i < question.count; ++i) {
    const auto begin = Clock::now();
    out.send(1);
    pollfd entry{in.fd(), POLLIN, 0};
    if (poll(&entry, 1, 100) == 1 && in.receive() == 1)
      std::printf(" %.2f", std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
}

double cpu_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// The sender keeps so many packets under way that nothing overflows.
void answer_two(const Question& question, WayOut& out, WayIn& in) {
  constexpr std::size_t kWindow = 1024;
  std::atomic<std::size_t> sent{0}, taken{0};
  std::atomic<bool> done{false};
  cpu_set_t all;
  sched_getaffinity(0, sizeof all, &all);
  std::vector<int> cpus;
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &all)) cpus.push_back(i);
  const auto pin = [&cpus](std::size_t index) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpus[index % cpus.size()], &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
  };
  double sender_ns = 0;
  std::thread sender([&] {
    pin(0);
    const double begin = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    while (!done.load(std::memory_order_relaxed)) {
      if (sent.load(std::memory_order_relaxed) - taken.load(std::memory_order_relaxed) > kWindow) {
        sched_yield();
        continue;
      }
      sent.fetch_add(out.send(kBurst), std::memory_order_relaxed);
    }
    sender_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
  });
  double receiver_ns = 0, seconds = 0;
  std::thread receiver([&] {
    pin(1);
    const auto begin = std::chrono::steady_clock::now();
    const double cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    const auto end = begin + std::chrono::milliseconds(question.count);
    while (std::chrono::steady_clock::now() < end) {
      pollfd entry{in.fd(), POLLIN, 0};
      const std::size_t got = in.receive();
      taken.fetch_add(got, std::memory_order_relaxed);
      if (got == 0) poll(&entry, 1, 1);
    }
    receiver_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    done = true;
  });
  receiver.join();
  sender.join();
  const auto packets = static_cast<double>(taken.load());
  std::printf(" %.0f %.1f %.1f", packets / seconds, receiver_ns / packets, sender_ns / packets);
}

void answer(const Link& link, const std::string& verb, const Question& question) {
  std::printf("%s", verb.c_str());
  if (verb == "out") {
    const auto in = drop_in(link);
    const auto out = open_out(link, question);
    answer_turns(question, *out, *in, false);
  } else {
    const auto in = open_in(link, question);
    const auto out = packet_out(link, question.family, question.size);
    if (verb == "in") answer_turns(question, *out, *in, question.way != "drop");
    if (verb == "one") answer_one(question, *out, *in);
    if (verb == "two") answer_two(question, *out, *in);
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace
}  // namespace merlon::bench

int main(int count, char** words) {
  if (count == 4 && words[1] == std::string("idle-xdp")) {
    const auto mode = words[2] == std::string("driver") ? merlon::bench::XdpMode::kDriver
                                                        : merlon::bench::XdpMode::kGeneric;
    const merlon::io::Fd attached = merlon::bench::attach_idle_xdp(words[3], mode);
    std::printf("attached\n");
    std::fflush(stdout);
    pause();
  }
  const merlon::bench::Link link;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream text(line);
    std::string verb;
    int family = 4;
    merlon::bench::Question question;
    text >> verb >> question.way >> family >> question.size >> question.count;
    question.family = family == 4 ? merlon::IpFamily::kIpv4 : merlon::IpFamily::kIpv6;
    merlon::bench::answer(link, verb, question);
  }
}
