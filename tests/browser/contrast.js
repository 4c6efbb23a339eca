() => {
  const parse = (colour) => { const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const ratio = (a, b) => { const [low, high] = [light(a), light(b)].sort((x, y) => x - y); return (high + 0.05) / (low + 0.05); };
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(parse(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const low = [];
  const check = (element, colour, below) => {
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.7 && style.fontWeight >= 600) ? 3 : 4.5;
    const found = ratio(over(colour, below), below);
    if (found < needed) low.push([found.toFixed(2), needed, element.textContent.slice(0, 40)]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || ["SCRIPT", "title"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    if (!element.closest("svg")) {
      check(element, parse(style.color), behind(element));
      continue;
    }
    let below = behind(element.closest("svg").parentElement);
    const cell = element.previousElementSibling;
    if (element.classList.contains("count")) {
      const fill = parse(getComputedStyle(cell).fill);
      below = over([...fill.slice(0, 3), Number(getComputedStyle(cell).fillOpacity)], below);
    }
    check(element, parse(style.fill), below);
  }
  return low;
}
