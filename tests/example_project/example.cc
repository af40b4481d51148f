// A program of somebody who has installed libwheelpit: submits a task, works on it, counts it, asks for the count.
//
//   example ADDRESS
#include <wheelpit/query.h>
#include <wheelpit/reporter.h>
#include <wheelpit/submitter.h>
#include <wheelpit/worker.h>

#include <iostream>
#include <string>

namespace {

int Fail(const absl::Status& status) {
  std::cerr << status << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: example ADDRESS\n";
    return 2;
  }
  wheelpit::ClientOptions client;
  client.address = argv[1];

  wheelpit::ReporterOptions reporter_options;
  reporter_options.client = client;
  auto reporter = wheelpit::Reporter::Create(reporter_options);
  if (!reporter.ok()) return Fail(reporter.status());
  wheelpit::Reporter::SeriesSpec spec;
  spec.name = "greetings_total";
  auto greetings = (*reporter)->AddCounter(spec);
  if (!greetings.ok()) return Fail(greetings.status());

  wheelpit::WorkerOptions worker_options;
  worker_options.client = client;
  worker_options.queues.push_back({"greetings"});
  auto worker = wheelpit::Worker::Create(worker_options, [&](wheelpit::TaskRun& task) {
    greetings->Increment();
    return wheelpit::RunOutcome::Complete("hello " + task.payload());
  });
  if (!worker.ok()) return Fail(worker.status());

  wheelpit::SubmitterOptions submitter_options;
  submitter_options.client = client;
  auto submitter = wheelpit::Submitter::Create(submitter_options);
  if (!submitter.ok()) return Fail(submitter.status());
  wheelpit::NewTask task;
  task.queue = "greetings";
  task.payload = "world";
  auto receipt = (*submitter)->SubmitAndWait(task);
  if (!receipt.ok()) return Fail(receipt.status());
  auto done = (*submitter)->WaitTask(receipt->id, absl::Minutes(1));
  if (!done.ok()) return Fail(done.status());
  std::cout << done->result << "\n";

  (*worker)->Drain();
  if (auto drained = (*worker)->Wait(absl::Seconds(30)); !drained.ok()) return Fail(drained);
  if (auto flushed = (*reporter)->Flush(absl::Seconds(30)); !flushed.ok()) return Fail(flushed);
  auto query = wheelpit::Query::Create(client);
  if (!query.ok()) return Fail(query.status());
  auto answer = (*query)->Instant("greetings_total");
  if (!answer.ok()) return Fail(answer.status());
  for (const wheelpit::InstantElement& element : answer->elements) {
    std::cout << "greetings " << element.value << "\n";
  }
  return done->result == "hello world" && answer->elements.size() == 1 ? 0 : 1;
}
