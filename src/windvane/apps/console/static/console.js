/* Draws the charts and keeps the reader's place while htmx swaps the live part. */
"use strict";
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const HEIGHT = 190;
  const held = new Map(); // plot id -> {plot, key}

  const shown = (value, unit) => {
    if (value === null || value === undefined) return "–";
    const digits = value >= 100 || value === 0 ? 0 : value >= 10 ? 1 : 2;
    return value.toLocaleString("en", { maximumFractionDigits: digits }) + (unit ? ` ${unit}` : "");
  };

  const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  const when = (t, fine) => {
    const at = new Date(t * 1000).toISOString();
    return `${at.slice(8, 10)} ${MONTHS[Number(at.slice(5, 7)) - 1]} ${at.slice(11, fine ? 19 : 16)}`;
  };

  /* The first tick of a day says which, and the first of all says the time too; seconds only
     where ticks are closer than a minute, which would read the same without. */
  const tick = (t, first, step) => {
    const text = when(t, step < 60);
    const [day, time] = [text.slice(0, 6), text.slice(7)];
    if (step >= 86400 || t % 86400 === 0) return day;
    return first ? `${time}\n${day}` : time;
  };

  const markers = (marks) => (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.strokeStyle = css("bad");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const mark of marks.list) {
      const x = u.valToPos(mark.t, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };

  /* The interval of each point, and the line that it is judged by. */
  const intervals = (entry) => (u) => {
    const { ctx, bbox } = u;
    const { series, floor } = entry.given;
    const px = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = 1.5 * px;
    series.forEach((s, i) => {
      if (!s.low || !u.series[i + 1].show) return;
      ctx.strokeStyle = css(s.colour);
      ctx.beginPath();
      u.data[0].forEach((t, at) => {
        if (s.low[at] === null) return;
        const x = u.valToPos(t, "x", true);
        for (const y of [s.low[at], s.high[at]].map((v) => u.valToPos(v, "y", true))) {
          ctx.moveTo(x - 4 * px, y);
          ctx.lineTo(x + 4 * px, y);
        }
        ctx.moveTo(x, u.valToPos(s.low[at], "y", true));
        ctx.lineTo(x, u.valToPos(s.high[at], "y", true));
      });
      ctx.stroke();
    });
    if (floor !== undefined) {
      const y = u.valToPos(floor, "y", true);
      ctx.strokeStyle = css("bad");
      ctx.setLineDash([4 * px, 3 * px]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  };

  /* Rates begin at zero; a metric, or what may be below it, is shown where its values and its floor are. */
  const bounds = (entry) => (u, low, high) => {
    if (!entry.given.points && !entry.given.free) return [0, high > 0 ? high * 1.08 : 1];
    const { series, floor } = entry.given;
    const all = series.flatMap((s) => [...s.values, ...(s.low || []), ...(s.high || [])]).filter((v) => v !== null);
    if (floor !== undefined) all.push(floor);
    if (!all.length) return [0, 1];
    const [least, most] = [Math.min(...all), Math.max(...all)];
    const room = (most - least || Math.abs(most) || 1) * 0.08;
    return [least - room, most + room];
  };

  const axis = (extra) => ({
    stroke: css("soft"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: css("line"), width: 1 },
    ticks: { show: false },
    ...extra,
  });

  /* Without a pointer the legend tells the last known window. */
  const resting = (u) => {
    if (u.cursor.idx !== null && u.cursor.idx !== undefined && u.cursor.left >= 0) return;
    const first = u.data[1] || [];
    let last = first.length - 1;
    while (last > 0 && first[last] === null) last -= 1;
    if (last >= 0 && u.legend.idx !== last) u.setLegend({ idx: last }, false);
  };

  const make = (box, entry) => {
    const { given, marks } = entry;
    const options = {
      width: Math.max(200, box.clientWidth),
      height: HEIGHT,
      padding: [8, 12, 0, 0],
      tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "Etc/UTC"),
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { x: { range: (u, low, high) => entry.given.span || [low, high] }, y: { range: bounds(entry) } },
      axes: [
        axis({
          size: (u, labels) => (labels && labels.some((label) => label.includes("\n")) ? 42 : 28),
          space: 64,
          values: (u, ticks, at, space, step) => ticks.map((t, i) => tick(t, i === 0, step)),
        }),
        axis({ size: 46, values: (u, ticks) => ticks.map((v) => shown(v, "")) }),
      ],
      series: [
        { label: "UTC", value: (u, t) => (t ? when(t, entry.given.t.some((at) => at % 60)) : "–") },
        ...given.series.map((s, i) => ({
          label: s.label,
          stroke: css(s.colour),
          width: 1.75,
          dash: i && !given.points ? [6, 3] : undefined,
          fill: i || given.points ? undefined : css(s.colour) + "1c",
          points: given.points ? { show: true, size: 7, fill: css(s.colour) } : { show: false },
          spanGaps: Boolean(given.points),
          value: (u, v) => shown(v, given.unit),
        })),
      ],
      hooks: { draw: [markers(marks), intervals(entry)], setLegend: [resting] },
    };
    const plot = new uPlot(options, data(given), box);
    resting(plot);
    return plot;
  };

  const data = (given) => [given.t, ...given.series.map((s) => s.values)];

  const draw = () => {
    const seen = new Set();
    for (const figure of document.querySelectorAll("[data-chart]")) {
      const box = figure.querySelector(".plot");
      const text = figure.dataset.chart;
      seen.add(box.id);
      const old = held.get(box.id);
      if (old && old.box === box && old.text === text) continue;
      const given = JSON.parse(text);
      const names = given.series.map((s) => `${s.label} ${s.colour}`).join();
      if (old && old.box === box && old.names === names) {
        old.marks.list = given.marks;
        old.given = given;
        old.text = text;
        old.plot.setData(data(given));
        resting(old.plot);
        continue;
      }
      if (old) old.plot.destroy();
      box.replaceChildren();
      const entry = { box, text, names, given, marks: { list: given.marks } };
      entry.plot = make(box, entry);
      held.set(box.id, entry);
      resized.observe(box);
    }
    for (const [id, entry] of held) {
      if (seen.has(id)) continue;
      entry.plot.destroy();
      held.delete(id);
    }
  };

  const resized = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const entry = held.get(target.id);
      const width = Math.round(contentRect.width);
      if (entry && width > 0 && entry.plot.width !== width) entry.plot.setSize({ width, height: HEIGHT });
    }
  });

  const again = () => {
    for (const entry of held.values()) entry.plot.destroy();
    held.clear();
    draw();
  };

  /* The reader's place: scroll, focus, open details and scrolled tables outlive a swap. */
  let place = null;
  const label = (box) => box.getAttribute("aria-label");
  const top = (box) => box.getBoundingClientRect().top;
  const seen = (box) => {
    const { height, bottom } = box.getBoundingClientRect();
    return height > 0 && bottom > 0;
  };
  const remember = () => {
    const active = document.activeElement;
    const anchor = window.scrollY > 0 && [...document.querySelectorAll("main [id]")].find(seen);
    place = {
      id: active?.id || "",
      href: active?.getAttribute?.("href") || "",
      anchor: anchor ? anchor.id : "",
      top: anchor ? top(anchor) : 0,
      turned: [...document.querySelectorAll("details[id]")]
        .filter((d) => d.open !== d.hasAttribute("data-unfolded"))
        .map((d) => [d.id, d.open]),
      left: [...document.querySelectorAll(".scroll")].map((s) => [label(s), s.scrollLeft]),
    };
  };
  const restore = () => {
    if (!place) return;
    for (const [id, open] of place.turned) document.getElementById(id)?.toggleAttribute("open", open);
    const lefts = new Map(place.left.filter(([, left]) => left > 0));
    for (const box of document.querySelectorAll(".scroll")) {
      if (lefts.has(label(box))) box.scrollLeft = lefts.get(label(box));
    }
    const anchor = place.anchor && document.getElementById(place.anchor);
    if (anchor) window.scrollBy({ top: top(anchor) - place.top, behavior: "instant" });
    const same = place.id
      ? document.getElementById(place.id)
      : place.href && document.querySelector(`a[href="${CSS.escape(place.href)}"]`);
    if (same && document.activeElement === document.body) same.focus({ preventScroll: true });
    place = null;
  };

  const state = (text) => {
    const line = document.getElementById("link-state");
    line.hidden = !text;
    line.textContent = text;
  };

  const selecting = () => {
    const chosen = window.getSelection();
    return Boolean(chosen && !chosen.isCollapsed && chosen.toString());
  };

  /* A search that is being typed would be lost with a swap, and an open list would close. */
  const typing = () =>
    [...document.querySelectorAll("form.search input, form.search select")].some((box) => {
      if (!box.options) return box.value !== box.defaultValue;
      const given = [...box.options].findIndex((option) => option.defaultSelected);
      return box === document.activeElement || box.selectedIndex !== Math.max(0, given);
    });

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden || selecting() || typing()) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", remember);
  document.addEventListener("htmx:afterSwap", restore); // before the browser paints: nothing jumps
  document.addEventListener("htmx:afterSettle", () => {
    document.title = document.getElementById("live").dataset.title;
    draw();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) return state("");
    const status = event.detail.xhr?.status;
    state(status ? `Not live: the console answered ${status}. Trying again.` : "Not live: the console does not answer. Trying again.");
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  draw();
})();
