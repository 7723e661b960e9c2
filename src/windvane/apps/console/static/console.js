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

  /* What is drawn on a logarithmic scale comes as powers of ten. */
  const power = (value) => {
    if (value === null || value === undefined) return "–";
    if (value < 4) return (10 ** value).toLocaleString("en", { maximumSignificantDigits: 2 });
    return `1e${value.toLocaleString("en", { maximumFractionDigits: 1 })}`;
  };
  const told = (given) => (v) => (given.log ? power(v) : shown(v, given.unit));

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

  /* Levels that a value is compared with, each with its name. */
  const levels = (entry) => (u) => {
    const { ctx, bbox } = u;
    const px = devicePixelRatio;
    ctx.save();
    ctx.font = `${11 * px}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    ctx.setLineDash([2 * px, 3 * px]);
    ctx.lineWidth = px;
    (entry.given.lines || []).forEach(({ at, label, colour }, i) => {
      const y = u.valToPos(at, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) return;
      ctx.strokeStyle = css(colour);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      if (!label) return;
      // Side by side, for levels may lie close; on the ground, for lines run through them.
      const x = bbox.left + bbox.width - (4 + 74 * (i % 4)) * px;
      const wide = ctx.measureText(label).width;
      ctx.fillStyle = css("surface");
      ctx.fillRect(x - wide - 3 * px, y - 8 * px, wide + 6 * px, 15 * px);
      ctx.fillStyle = css(colour);
      ctx.fillText(label, x, y);
    });
    ctx.restore();
  };

  /* Rates begin at zero; a metric, or what may be below it, is shown where its values and its floor are. */
  const bounds = (entry) => (u, low, high) => {
    const { series, floor, lines = [] } = entry.given;
    const most = Math.max(high, ...lines.map((line) => line.at));
    if (!entry.given.points && !entry.given.free) return [0, most > 0 ? most * 1.08 : 1];
    const all = series.flatMap((s) => [...s.values, ...(s.low || []), ...(s.high || [])]).filter((v) => v !== null);
    all.push(...lines.map((line) => line.at));
    if (floor !== undefined) all.push(floor);
    if (!all.length) return [0, 1];
    const [least, top] = [Math.min(...all), Math.max(...all)];
    const room = (top - least || Math.abs(top) || 1) * 0.08;
    return [least - room, top + room];
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
      padding: [8, 20, 0, 0],
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
        axis({ size: 46, values: (u, ticks) => ticks.map((v) => (entry.given.log ? power(v) : shown(v, ""))) }),
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
          value: (u, v) => told(given)(v),
        })),
      ],
      hooks: { draw: [markers(marks), levels(entry), intervals(entry)], setLegend: [resting] },
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

  /* The map of tenants and features: only what is in sight is drawn, whatever there is of it. */
  const CELL = { row: 18, least: 16, most: 72, top: 92, tall: 560 };
  const ALARM = 9;
  const maps = new Map(); // box -> its map

  const sizesOf = (map) => {
    const { box, given } = map;
    const wide = box.clientWidth;
    const left = Math.min(150, Math.round(wide * 0.36));
    const room = (wide - left) / Math.max(1, given.features.length);
    return { wide, left, column: Math.max(CELL.least, Math.min(CELL.most, Math.floor(room))) };
  };

  const short = (ctx, text, room) => {
    if (ctx.measureText(text).width <= room) return text;
    let end = text.length;
    while (end > 1 && ctx.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
    return `${text.slice(0, end)}…`;
  };

  const paintMap = (map) => {
    const { box, canvas, all, given } = map;
    const { wide, left, column } = sizesOf(map);
    map.wide = wide;
    const whole = { x: left + given.features.length * column, y: CELL.top + given.tenants.length * CELL.row };
    box.style.height = `${Math.min(CELL.tall, whole.y + 18)}px`;
    all.style.width = `${Math.max(wide, whole.x)}px`;
    all.style.height = `${whole.y}px`;
    const tall = Math.min(box.clientHeight, Math.max(whole.y, 1));
    const px = devicePixelRatio;
    canvas.width = wide * px;
    canvas.height = tall * px;
    canvas.style.width = `${wide}px`;
    canvas.style.height = `${tall}px`;
    const ctx = canvas.getContext("2d");
    ctx.scale(px, px);
    const [dx, dy] = [box.scrollLeft, box.scrollTop];
    const colours = Object.fromEntries(["surface", "sunk", "ink", "soft", "warn", "bad", "accent"].map((n) => [n, css(n)]));
    ctx.fillStyle = colours.surface;
    ctx.fillRect(0, 0, wide, tall);
    const rows = [Math.floor(dy / CELL.row), Math.min(given.tenants.length, Math.ceil((dy + tall - CELL.top) / CELL.row))];
    const columns = [Math.floor(dx / column), Math.min(given.features.length, Math.ceil((dx + wide - left) / column))];
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, CELL.top, wide - left, tall - CELL.top);
    ctx.clip();
    for (let r = rows[0]; r < rows[1]; r += 1) {
      for (let c = columns[0]; c < columns[1]; c += 1) {
        const level = Number(given.cells[r][c]);
        const [x, y] = [left + c * column - dx, CELL.top + r * CELL.row - dy];
        ctx.globalAlpha = level === 0 || level === ALARM ? 1 : 0.12 + (0.78 * level) / 8;
        ctx.fillStyle = level === ALARM ? colours.bad : level ? colours.warn : colours.sunk;
        ctx.fillRect(x, y, column - 1, CELL.row - 1);
        ctx.globalAlpha = 1;
        if (level === ALARM) {
          ctx.strokeStyle = colours.surface;
          ctx.lineWidth = 1.5;
          const [mx, my] = [x + (column - 1) / 2, y + (CELL.row - 1) / 2];
          ctx.beginPath();
          ctx.moveTo(mx - 3, my - 3);
          ctx.lineTo(mx + 3, my + 3);
          ctx.moveTo(mx + 3, my - 3);
          ctx.lineTo(mx - 3, my + 3);
          ctx.stroke();
        }
        if (map.at && map.at[0] === r && map.at[1] === c) {
          ctx.strokeStyle = colours.ink;
          ctx.lineWidth = 2;
          ctx.strokeRect(x, y, column - 1, CELL.row - 1);
        }
      }
    }
    ctx.restore();
    ctx.font = "12px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, CELL.top, left, tall - CELL.top);
    ctx.clip();
    for (let r = rows[0]; r < rows[1]; r += 1) {
      ctx.fillStyle = map.at && map.at[0] === r ? colours.ink : colours.soft;
      ctx.fillText(short(ctx, given.tenants[r], left - 8), 0, CELL.top + (r + 0.5) * CELL.row - dy);
    }
    ctx.restore();
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, 0, wide - left, CELL.top);
    ctx.clip();
    for (let c = columns[0]; c < columns[1]; c += 1) {
      ctx.save();
      ctx.translate(left + (c + 0.5) * column - dx, CELL.top - 6);
      ctx.rotate(-Math.PI / 3);
      ctx.fillStyle = map.at && map.at[1] === c ? colours.ink : colours.soft;
      ctx.fillText(short(ctx, given.features[c], CELL.top), 0, 0);
      ctx.restore();
    }
    ctx.restore();
  };

  const tellCell = (map) => {
    const line = map.box.parentElement?.querySelector(".heat-told");
    if (!line || !map.at) return;
    const [r, c] = map.at;
    const level = Number(map.given.cells[r][c]);
    const what = level === ALARM ? "alarm" : level ? `about ${Math.round((level / 8) * 100)}% of the evidence that an alarm asks for` : "no evidence";
    line.textContent = `${map.given.tenants[r]}, ${map.given.features[c]}: ${what}`;
  };

  const openCell = (map) => {
    if (!map.at) return;
    const [r, c] = map.at;
    const { base, features, tenants } = map.given;
    location.assign(`${base}/${encodeURIComponent(features[c])}?tenant=${encodeURIComponent(tenants[r])}`);
  };

  const chooseCell = (map, at) => {
    map.at = at;
    tellCell(map);
    paintMap(map);
  };

  const cellAt = (map, event) => {
    const { left, column } = sizesOf(map);
    const edge = map.box.getBoundingClientRect();
    const [x, y] = [event.clientX - edge.left - left, event.clientY - edge.top - CELL.top];
    const [r, c] = [Math.floor((y + map.box.scrollTop) / CELL.row), Math.floor((x + map.box.scrollLeft) / column)];
    const inside = x >= 0 && y >= 0 && r < map.given.tenants.length && c < map.given.features.length;
    return inside ? [r, c] : null;
  };

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const makeMap = (box) => {
    const all = document.createElement("div");
    const canvas = document.createElement("canvas");
    all.className = "heat-all";
    all.append(canvas);
    box.replaceChildren(all);
    const map = { box, all, canvas, given: null, text: "", at: null, place: [0, 0] };
    box.addEventListener("scroll", () => {
      map.place = [box.scrollLeft, box.scrollTop];
      requestAnimationFrame(() => paintMap(map));
    });
    canvas.addEventListener("mousemove", (event) => {
      const at = cellAt(map, event);
      if (String(at) !== String(map.at)) chooseCell(map, at);
      canvas.style.cursor = at ? "pointer" : "default";
    });
    canvas.addEventListener("click", (event) => {
      map.at = cellAt(map, event);
      openCell(map);
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") openCell(map);
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      const { column } = sizesOf(map);
      const [r, c] = map.at || [-step[0], -step[1]];
      const at = [
        Math.max(0, Math.min(map.given.tenants.length - 1, r + step[0])),
        Math.max(0, Math.min(map.given.features.length - 1, c + step[1])),
      ];
      const { left } = sizesOf(map);
      const [top, side] = [at[0] * CELL.row, at[1] * column];
      box.scrollTop = Math.min(top, Math.max(box.scrollTop, top + CELL.row - (box.clientHeight - CELL.top)));
      box.scrollLeft = Math.min(side, Math.max(box.scrollLeft, side + column - (box.clientWidth - left)));
      chooseCell(map, at);
    });
    resized.observe(box);
    return map;
  };

  const drawMaps = () => {
    const seen = new Set();
    for (const figure of document.querySelectorAll("[data-heat]")) {
      const box = figure.querySelector(".heatbox");
      seen.add(box);
      if (!maps.has(box)) maps.set(box, makeMap(box));
      const map = maps.get(box);
      if (map.text !== figure.dataset.heat) {
        map.text = figure.dataset.heat;
        map.given = JSON.parse(map.text);
        const { tenants, features } = map.given;
        if (map.at && (map.at[0] >= tenants.length || map.at[1] >= features.length)) map.at = null;
      }
      paintMap(map);
      [box.scrollLeft, box.scrollTop] = map.place; // a box that was moved begins at its top
      tellCell(map);
    }
    for (const box of maps.keys()) if (!seen.has(box)) maps.delete(box);
  };

  const resized = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const map = maps.get(target);
      if (map && map.wide !== target.clientWidth) paintMap(map);
      const entry = held.get(target.id);
      const width = Math.round(contentRect.width);
      if (entry && width > 0 && entry.plot.width !== width) entry.plot.setSize({ width, height: HEIGHT });
    }
  });

  const again = () => {
    for (const entry of held.values()) entry.plot.destroy();
    held.clear();
    draw();
    drawMaps();
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
    drawMaps();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) return state("");
    const status = event.detail.xhr?.status;
    state(status ? `Not live: the console answered ${status}. Trying again.` : "Not live: the console does not answer. Trying again.");
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  draw();
  drawMaps();
})();
