// A job's server-sent events, each given to the function of its name; goes on after the newest entry when the connection is lost.
export function listen(job, after, tell) {
  let [source, last, pause, closed] = [null, after, 1000, false];
  const begin = () => {
    if (closed) return;
    source = new EventSource(`/api/jobs/${job}/events?after=${last}`);
    for (const [name, act] of Object.entries(tell)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) last = Number(event.lastEventId);
        pause = 1000;
        act(JSON.parse(event.data));
      });
    }
    // The browser takes a lost connection up by itself; after a refusal it does not.
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(begin, pause);
      pause = Math.min(2 * pause, 30000);
    });
  };
  begin();
  return () => {
    closed = true;
    source.close();
  };
}
